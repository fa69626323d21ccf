"""Page sizes and page tokens."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.plumbing.errors import Invalid
from services.plumbing.pages import WHOLE_NUMBER_MAX, page_size, page_token, read_page_token

whole = st.integers(min_value=-WHOLE_NUMBER_MAX, max_value=WHOLE_NUMBER_MAX)


@pytest.mark.parametrize(("asked", "size"), [(0, 50), (1, 1), (500, 500), (501, 500)])
def test_page_size_has_a_default_and_a_most(asked: int, size: int) -> None:
    assert page_size(asked, default=50, most=500) == size


@given(whole, st.text())
def test_token_gives_back_its_keys(number: int, text: str) -> None:
    assert read_page_token(page_token(number, text), int, str) == (number, text)


def test_no_token_is_the_first_page() -> None:
    assert read_page_token("", int) is None


@pytest.mark.parametrize(
    "token",
    [
        "not base64!",
        "é",
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"{}").decode(),
        base64.urlsafe_b64encode(b"[").decode(),
        base64.urlsafe_b64encode(b"[true]").decode(),
        page_token("1"),
        page_token(1, 2),
        page_token(WHOLE_NUMBER_MAX + 1),
        page_token(-(2**64)),
    ],
)
def test_token_of_another_make_is_refused(token: str) -> None:
    with pytest.raises(Invalid) as refusal:
        read_page_token(token, int)
    assert refusal.value.reason == "PAGE_TOKEN_INVALID"


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        keys = read_page_token(text, int)
    except Invalid:
        return
    assert keys is None or isinstance(keys[0], int)
