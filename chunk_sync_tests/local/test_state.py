"""The state folder and its locks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chunk_sync.errors import UsageError
from chunk_sync.local.state import FileLock, prepare_home, usable

HOLD = """
import sys, time
from pathlib import Path
from chunk_sync.local.state import FileLock
FileLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(600)
"""


def test_lock_is_exclusive(tmp_path: Path) -> None:
    """One holds it, another is told so, and has it afterwards."""
    one, two = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert one.acquire()
    assert not two.acquire(wait=False)
    one.release()
    assert two.acquire(wait=False)
    two.release()


def test_shared_lock_becomes_exclusive_for_the_last(tmp_path: Path) -> None:
    """With two users neither gets it alone; the last one does."""
    one, two = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert one.acquire(shared=True)
    assert two.acquire(shared=True)
    assert not one.acquire(wait=False)
    one.release()
    assert two.acquire(wait=False)
    two.release()


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """A kill -9 of the holder frees the lock at once."""
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        lock = FileLock(path)
        assert not lock.acquire(wait=False)
        holder.kill()
        holder.wait()
        assert lock.acquire(wait=False)
        lock.release()


def test_holder_leaves_a_word(tmp_path: Path) -> None:
    """Who holds the lock can say where it is to be found, and a shorter word replaces a longer one."""
    with FileLock(tmp_path / "lock") as lock:
        lock.write("http://127.0.0.1:3000")
        lock.write("http://h")
        assert FileLock(tmp_path / "lock").read() == "http://h"


def test_home_is_made_private(tmp_path: Path) -> None:
    """The state folder is made with its parents; others cannot list it."""
    home = prepare_home(tmp_path / "a" / "b")
    assert home.stat().st_mode & 0o777 == (0o711 if os.geteuid() == 0 else 0o700)
    home.chmod(0o755)
    prepare_home(home)
    assert home.stat().st_mode & 0o777 == 0o755  # the user's own choice


def test_home_that_cannot_be_made(tmp_path: Path) -> None:
    """A path through a file is one clear line that names CHUNK_SYNC_HOME."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file/home.*Not a directory.*CHUNK_SYNC_HOME$"):
        prepare_home(tmp_path / "file" / "home")


def test_full_disk_is_one_line() -> None:
    """A write that fails names the folder and the reason."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(UsageError, match="No space left on device"), usable(Path("/state")):
        full.write_text("x")
