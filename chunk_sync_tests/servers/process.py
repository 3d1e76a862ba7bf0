"""What both servers have in common: a process of its own session, readiness, and a mailbox's handles."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psutil

from chunk_sync.demo.mailbox import INBOX, GeneratedMessage
from chunk_sync_tests.servers.client import Client

HOST = "127.0.0.1"
DEFAULT_USER = "olena"
DEFAULT_PASSWORD = "open-sesame-42"
ENOUGH = 60.0
"""Seconds to wait for what takes a moment, on a machine that stands still now and then: nobody waits out of habit."""
_PORTS = range(10_000, 20_000)  # the embedded PostgreSQL takes those above
_FIRST_DELIVERY = datetime(2024, 1, 1, tzinfo=UTC)
_OLD_EPOCH = "Old epoch"


class ServerDidNotStart(Exception):
    """The server ended, or never answered; the text carries what it logged."""


class ImapServer(ABC):
    """A real IMAP server on loopback, for one test: use it as a context manager.

    `stop` and `kill` leave the object usable: `start` brings the server up again on the same ports.
    Whoever names no `user` means the first one.
    """

    host = HOST
    cannot_hold: frozenset[str] = frozenset()
    """The poison messages, by name, that this server refuses or changes."""

    @staticmethod
    def as_served(raw: bytes) -> bytes:
        """Tell the bytes that are handed out for a message that was put in."""
        return raw

    def __init__(self, users: Mapping[str, str] | None = None) -> None:
        self.users = dict(users or {DEFAULT_USER: DEFAULT_PASSWORD})
        self.user, self.password = next(iter(self.users.items()))
        self.port = 0
        self._folder = tempfile.TemporaryDirectory(prefix="imap-", ignore_cleanup_errors=True)
        self.path = Path(self._folder.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._group = 0
        self._delivered = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()  # a second faster than `stop`, and the mail goes anyway
        self._folder.cleanup()

    @property
    def address(self) -> str:
        """The mailbox of the first user as chunk_sync spells it."""
        return self.address_of(self.user)

    def address_of(self, user: str) -> str:
        """Spell a user's mailbox as chunk_sync does."""
        return f"imap://{quote(user)}@{self.host}:{self.port}/"

    @abstractmethod
    def start(self) -> None:
        """Start the server and wait until it answers; raises ServerDidNotStart."""

    @abstractmethod
    def add_messages(
        self, folder: str, messages: Iterable[bytes | GeneratedMessage], *, user: str | None = None
    ) -> None:
        """Put messages into a folder, which is made when it is not there."""

    @abstractmethod
    def reset_uidvalidity(self, folder: str, *, user: str | None = None) -> None:
        """Begin a new epoch of a folder: another UIDVALIDITY, the same messages, UIDs dealt anew."""

    def add_mailbox(self, messages: Iterable[GeneratedMessage], *, user: str | None = None) -> None:
        """Put generated messages into their own folders."""
        by_folder: dict[str, list[GeneratedMessage]] = {}
        for message in messages:
            by_folder.setdefault(message.folder, []).append(message)
        for folder, group in by_folder.items():
            self.add_messages(folder, group, user=user)

    def client(self, user: str | None = None) -> Client:
        """Log in with the tests' own client."""
        name = user or self.user
        return Client(self.host, self.port, name, self.users[name])

    def by_uid(self, folder: str, *, user: str | None = None) -> dict[int, str]:
        """Tell which message (sha256 of the bytes as served) has which UID."""
        with self.client(user) as client:
            return {uid: digest(raw) for uid, raw in client.messages(folder).items()}

    def snapshot(self, *, user: str | None = None) -> dict[str, list[str]]:
        """List each folder's messages as sorted sha256 of the bytes as served."""
        with self.client(user) as client:
            return {name: sorted(map(digest, client.messages(name).values())) for name in client.folders()}

    def uidvalidity(self, folder: str, *, user: str | None = None) -> int:
        """Read a folder's epoch."""
        with self.client(user) as client:
            return client.select(folder)

    def expunge(self, folder: str, uids: Iterable[int], *, user: str | None = None) -> None:
        """Delete messages for good."""
        with self.client(user) as client:
            client.expunge(folder, uids)

    def stop(self) -> None:
        """Ask the server to end; what does not end in time is killed. No process is left."""
        if self._process is None:
            return
        self._ask_to_end(self._process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(ENOUGH)
        self.kill()

    def kill(self) -> None:
        """Kill all of the server's processes at once, as a crash of the machine would."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._group, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        if self._process.stdout:
            self._process.stdout.close()
        self._process = None
        wait_until(lambda: not self.processes())

    def processes(self) -> list[int]:
        """List the ids of the server's living processes."""
        return group_members(self._group) if self._group else []

    def _ask_to_end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()

    def _wait_for_greeting(self) -> None:
        """Wait until the server greets; its end, or the deadline, raises ServerDidNotStart."""
        answered = wait_until(lambda: self._ended() or greets(self.port))
        if not answered or self._ended():
            log = self.log()
            self.kill()
            raise ServerDidNotStart(log)

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def log(self) -> str:
        """Read what the server logged so far."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.path.glob("*.log")))

    def _append(self, folder: str, messages: Iterable[bytes | GeneratedMessage], user: str | None) -> None:
        """Put messages into a folder by IMAP; make it when it is not there."""
        with self.client(user) as client:
            if folder not in client.folders():
                client.create(folder)
            for message in self._dated(folder, messages):
                client.append(folder, message.raw, message.received_at, message.flags)

    def _renumber(self, folder: str, user: str | None) -> None:
        """Begin a new epoch of a folder by IMAP: another folder takes its name, with copies of its messages."""
        before = self.uidvalidity(folder, user=user)
        with self.client(user) as client:
            client.rename(folder, _OLD_EPOCH)
            if folder.upper() != INBOX:
                client.create(folder)
            client.copy_all(_OLD_EPOCH, folder)
            client.delete(_OLD_EPOCH)
        assert self.uidvalidity(folder, user=user) != before

    def _dated(self, folder: str, messages: Iterable[bytes | GeneratedMessage]) -> Iterable[GeneratedMessage]:
        """Put messages into `folder`; bare bytes arrive one second after another."""
        for message in messages:
            if isinstance(message, GeneratedMessage):
                yield GeneratedMessage(folder, message.raw, message.received_at, message.flags)
            else:
                self._delivered += 1
                yield GeneratedMessage(folder, message, _FIRST_DELIVERY + timedelta(seconds=self._delivered), ())


def digest(raw: bytes) -> str:
    """Name a message by its bytes."""
    return hashlib.sha256(raw).hexdigest()


def free_ports(count: int) -> list[int]:
    """Find ports of loopback that are free, and that no outgoing connection is given while a server is away."""
    found: set[int] = set()
    while len(found) < count:
        port = random.choice(_PORTS)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind((HOST, port))
            found.add(port)
    return list(found)


def greets(port: int) -> bool:
    """Tell whether an IMAP server answers on a port, in plain text."""
    try:
        with socket.create_connection((HOST, port), ENOUGH) as connection:
            return connection.recv(64).startswith(b"* OK")
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = ENOUGH) -> bool:
    """Ask again and again until a condition holds; False when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def group_members(group: int) -> list[int]:
    """List the living processes of a process group."""
    members: list[int] = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
    return members
