"""The state folder on this machine: making it, and locks that die with their process.

Every OSError on the way becomes one line for a person: a folder that cannot be written and a full disk
are what people meet first.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from chunk_sync.errors import UsageError


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Turn the operating system's refusals below `folder` into a UsageError that names it."""
    try:
        yield
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
        message = f"cannot use the state folder {folder} ({what}): make it writable, or set CHUNK_SYNC_HOME"
        raise UsageError(message) from error


def prepare_home(home: Path) -> Path:
    """Make the state folder; private, except that root's server user has to walk through it."""
    with usable(home):
        if not home.is_dir():
            home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True)
    return home


class FileLock:
    """An flock on a file. The kernel lets go of it when the process ends, by kill -9 too.

    Python's files are not inherited over exec, so no child keeps it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self, *, shared: bool = False, wait: bool = True) -> bool:
        """Take the lock, or change the one that is held; False when another has it and `wait` is off.

        A change that does not succeed may leave nothing held: flock drops the old lock first.
        """
        if self._fd is None:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let go; harmless when nothing is held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def write(self, text: str) -> None:
        """Leave a word in the file for those who find it locked."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, text.encode(), 0)

    def read(self) -> str:
        """Read what the holder left."""
        return self.path.read_text().strip()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
