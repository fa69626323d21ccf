"""A service's own token, in a file that is written anew now and then."""

import time
from pathlib import Path

import pytest

from services.plumbing.errors import Unavailable
from services.plumbing.token_file import READ_EVERY_SECONDS, TokenFile


def test_a_token_written_anew_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    tokens = TokenFile(path)
    assert tokens.bearer() == (("authorization", "Bearer first"),)
    path.write_text("second")
    assert tokens.bearer() == (("authorization", "Bearer first"),)
    later = time.monotonic() + READ_EVERY_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert tokens.bearer() == (("authorization", "Bearer second"),)


def test_a_service_without_its_token_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        TokenFile(tmp_path / "token").bearer()
    assert caught.value.reason == "TOKEN_FILE_MISSING"
