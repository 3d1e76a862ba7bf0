"""Released versions as test material: their code runs in a process of its own, from releases/VERSION.tar.gz.

A release is added with

    git archive v0.2.0 chunk_sync sql | gzip -9n >chunk_sync_tests/releases/0.2.0.tar.gz

and driven by the newest releases/driver_VERSION.py that is not newer than it: a new driver is written only when the
old one does not fit the code any more, which `test_the_driver_fits_this_code` says first.
"""

from __future__ import annotations

import dataclasses
import json
import select
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chunk_sync import __version__
from chunk_sync.demo.mailbox import GeneratedMessage, iter_messages
from chunk_sync.demo.maildir import deliver
from chunk_sync.settings import PROJECT_ROOT, environment

ARCHIVES = Path(__file__).parent / "releases"
RELEASE_SETTINGS = {"CHUNK_SYNC_CHUNK_MESSAGES": "25", "CHUNK_SYNC_MAX_MESSAGE_BYTES": str(1 << 20)}
"""What old and new code run with: small chunks, and a limit that one message of the test material exceeds."""
HALF_DONE = ("Dead", "Done", "Held", "Lost", "Retry", "Waiting")
"""Folders of a mailbox to be left half done, a chunk each, in this order: what a driver's `hold` makes of them."""
BUSY_CHUNKS = 24
_ANSWER_SECONDS = 180.0

Version = tuple[int, ...]


class ReleaseError(Exception):
    """What the released code raised: the error's name and text."""


@dataclass(frozen=True, slots=True)
class Release:
    """A version's code, unpacked in `folder`, and the driver that fits it."""

    version: str
    folder: Path
    driver: Path

    @contextmanager
    def running(self, dsn: str, home: Path) -> Iterator[RunningRelease]:
        """Run the release on a database; it is killed at the end, like a machine that is switched off."""
        process = subprocess.Popen(
            [sys.executable, "-P", str(self.driver), dsn],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=environment() | RELEASE_SETTINGS | {"CHUNK_SYNC_HOME": str(home), "PYTHONPATH": str(self.folder)},
        )
        try:
            running = RunningRelease(process)
            hello = running("hello")
            assert (self.version, True) == (hello["version"], Path(hello["file"]).is_relative_to(self.folder))
            yield running
        finally:
            process.kill()
            process.communicate()


class RunningRelease:
    """A release at work: call it with a command of its driver and the command's arguments."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, command: str, *arguments: object) -> Any:
        """Send a command and wait for its answer; raises ReleaseError when the release did."""
        self.send(command, *arguments)
        return self.answer()

    def send(self, command: str, *arguments: object) -> None:
        """Send a command; `answer` waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([command, *arguments]) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the answer to the last command."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _ANSWER_SECONDS)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            message = f"no answer within {_ANSWER_SECONDS:.0f} s" if not ready else "the process ended"
            raise ReleaseError(message)
        answer = json.loads(line)
        if "error" in answer:
            raise ReleaseError(answer["error"])
        return answer["answer"]


def released_versions() -> list[str]:
    """Name the versions that have an archive, the oldest first."""
    return sorted((path.name.removesuffix(".tar.gz") for path in ARCHIVES.glob("*.tar.gz")), key=parsed)


def unpacked(version: str, folder: Path) -> Release:
    """Unpack a release into an empty folder."""
    for name, data in archived_files(version).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return Release(version, folder, _driver_of(version))


def archived_files(version: str) -> dict[str, bytes]:
    """Read a release's files by their names."""
    with tarfile.open(ARCHIVES / f"{version}.tar.gz") as archive:
        files = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return {name: file.read() for name, file in files.items() if file}


def this_code() -> Release:
    """Take the code as it is now for a release: the newest driver has to fit it."""
    return Release(__version__, PROJECT_ROOT, _drivers()[-1][1])


def half_done_maildir(path: Path, messages: Iterable[GeneratedMessage]) -> None:
    """Write a Maildir whose folders a driver's `hold` knows, with messages in each."""
    deliver(path, (dataclasses.replace(m, folder=HALF_DONE[i % len(HALF_DONE)]) for i, m in enumerate(messages)))


@dataclass(frozen=True, slots=True)
class Mail:
    """Maildirs: `whole` to be synced to the end, `half` to be left half done, `busy` with many chunks."""

    whole: Path
    half: Path
    busy: Path

    @classmethod
    def written(cls, folder: Path) -> Mail:
        """Write mail with attachments, broken messages, one above the limit, and the same bytes in two mailboxes."""
        mail = cls(folder / "whole", folder / "half", folder / "busy")
        messages = list(iter_messages(48))
        deliver(mail.whole, messages[:-3])
        large = dataclasses.replace(messages[0], raw=messages[0].raw + b"x" * (1 << 20))
        half_done_maildir(mail.half, [messages[0], large, *messages[1:24]])
        many = iter_messages(BUSY_CHUNKS * 25, profile="small")
        deliver(mail.busy, (dataclasses.replace(message, folder="INBOX") for message in many))
        return mail

    def arrive(self) -> None:
        """Deliver what is new in `whole`."""
        deliver(self.whole, list(iter_messages(48))[-3:])


def parsed(version: str) -> Version:
    """Take a version's numbers, to be compared."""
    return tuple(int(number) for number in version.split("."))


def _driver_of(version: str) -> Path:
    return [driver for since, driver in _drivers() if since <= parsed(version)][-1]


def _drivers() -> list[tuple[Version, Path]]:
    found = [(path.stem.removeprefix("driver_").replace("_", "."), path) for path in ARCHIVES.glob("driver_*.py")]
    return sorted((parsed(since), path) for since, path in found)
