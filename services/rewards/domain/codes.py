"""The codes of vouchers: made so that nobody guesses one, and read as people write them.

A code that we make is nineteen letters drawn by the operating system's generator, 85 bits, and a
check letter. Of digits and capitals the alphabet leaves out 0 1 2 5 B G I L O Q S U Z, so that no
two look alike; 23 remain, a prime. The check is a pure system of ISO/IEC 7064 over that prime: the
letters' values, each times 5 to the power of its distance from the end, add up to 1 modulo 23. 5 is
a primitive root of 23, so in up to 22 letters every wrong letter is found, and every two that were
swapped, wherever they stand.
"""

import re
import secrets

ALPHABET = "346789ACDEFHJKMNPRTVWXY"
VALUES = {letter: value for value, letter in enumerate(ALPHABET)}
RADIX = 5
LETTERS = 19
GROUP = 5
# What a partner's code may look like.
UPLOADED = re.compile(r"[A-Za-z0-9._-]{4,64}")
BETWEEN = re.compile(r"[\s-]+")


def generate() -> str:
    """A new code, in groups for people, such as "7KM4P-…"."""
    # One number: to ask the operating system for each letter takes ten times as long.
    number = secrets.randbelow(len(ALPHABET) ** LETTERS)
    drawn = ""
    for _ in range(LETTERS):
        number, letter = divmod(number, len(ALPHABET))
        drawn += ALPHABET[letter]
    code = drawn + check_letter(drawn)
    return "-".join(code[start : start + GROUP] for start in range(0, len(code), GROUP))


def check_letter(letters: str) -> str:
    return ALPHABET[(1 - _weighed(letters) * RADIX) % len(ALPHABET)]


def normalised(code: str) -> str:
    """What tells codes apart: capitals, without hyphens and spaces."""
    return BETWEEN.sub("", code).upper()


def is_mistyped(key: str) -> bool:
    """Whether a normalised code looks like one of ours, but its check letter says no."""
    ours = len(key) == LETTERS + 1 and all(letter in VALUES for letter in key)
    return ours and _weighed(key) != 1


def is_uploadable(code: str) -> bool:
    """Whether a line can be a partner's code."""
    return UPLOADED.fullmatch(code) is not None and len(normalised(code)) >= 4


def _weighed(letters: str) -> int:
    total = 0
    for letter in letters:
        total = (total * RADIX + VALUES[letter]) % len(ALPHABET)
    return total
