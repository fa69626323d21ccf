import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.plumbing.directory_lock import DirectoryInUse, directory_lock

HOLDER = """
import sys, time
from pathlib import Path
from services.plumbing.directory_lock import directory_lock
with directory_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_second_holder_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    with directory_lock(tmp_path):
        with pytest.raises(DirectoryInUse) as refused, directory_lock(tmp_path):
            pass
        assert refused.value.pid == os.getpid()


def test_lock_can_be_taken_again_after_the_block(tmp_path: Path) -> None:
    with directory_lock(tmp_path):
        pass
    with directory_lock(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_lock_of_a_killed_holder_is_free(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder.stdout as output:
        assert output.readline() == b"held\n"
    with pytest.raises(DirectoryInUse) as refused, directory_lock(tmp_path):
        pass
    assert refused.value.pid == holder.pid
    holder.kill()
    holder.wait()
    with directory_lock(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
