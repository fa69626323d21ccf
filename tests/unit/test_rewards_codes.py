"""Codes of vouchers: nobody guesses one, and a wrong letter is noticed."""

from itertools import combinations

import pytest

from services.rewards.domain import codes
from services.rewards.domain.codes import ALPHABET, generate, is_mistyped, normalised

CODES = [normalised(generate()) for _ in range(20)]
# Codes are random, and tests are told apart by their names.
PLACES = [f"code {place}" for place in range(20)]


def test_code_is_twenty_letters_in_groups_of_five() -> None:
    groups = generate().split("-")
    assert [len(group) for group in groups] == [5, 5, 5, 5]
    assert set("".join(groups)) <= set(ALPHABET)


def test_alphabet_has_no_two_letters_that_look_alike() -> None:
    assert len(set(ALPHABET)) == 23
    for alike in ("0ODQ", "1IL", "2Z", "5S", "6G", "8B", "UV"):
        assert len(set(alike) & set(ALPHABET)) <= 1


def test_code_has_more_than_eighty_bits_that_nobody_knows() -> None:
    assert len(ALPHABET) ** codes.LETTERS > 2**80


def test_no_two_codes_are_the_same() -> None:
    assert len({generate() for _ in range(10_000)}) == 10_000


def test_case_hyphens_and_spaces_do_not_matter() -> None:
    code = generate()
    assert normalised(f" {code.lower().replace('-', ' - ')}\t") == normalised(code)


@pytest.mark.parametrize("code", CODES, ids=PLACES)
def test_code_of_ours_is_not_mistyped(code: str) -> None:
    assert not is_mistyped(code)


@pytest.mark.parametrize("code", CODES[:5], ids=PLACES[:5])
def test_every_wrong_letter_is_noticed(code: str) -> None:
    for position in range(len(code)):
        for letter in set(ALPHABET) - {code[position]}:
            assert is_mistyped(code[:position] + letter + code[position + 1 :])


@pytest.mark.parametrize("code", CODES, ids=PLACES)
def test_every_two_swapped_letters_are_noticed(code: str) -> None:
    for one, other in combinations(range(len(code)), 2):
        if code[one] != code[other]:
            letters = list(code)
            letters[one], letters[other] = letters[other], letters[one]
            assert is_mistyped("".join(letters))


def test_what_is_no_code_of_ours_is_not_called_mistyped() -> None:
    assert not is_mistyped("WELCOME10")
    assert not is_mistyped("O" * 20)


@pytest.mark.parametrize(
    "line", ["", "abc", "a-b-c", "----", "a b c d", "x" * 65, "naïve", "a\0bc"]
)
def test_line_that_is_no_code_cannot_be_uploaded(line: str) -> None:
    assert not codes.is_uploadable(line)


@pytest.mark.parametrize("line", ["abcd", "WELCOME-10", "a.b_c-d", "x" * 64])
def test_code_of_a_partner_can_be_uploaded(line: str) -> None:
    assert codes.is_uploadable(line)
