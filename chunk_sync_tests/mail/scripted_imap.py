"""An IMAP server that answers truly unless told to lie: for what no real server can be made to do.

It holds one folder. A lie replaces the answer to one kind of command: it gets the tag and the true
answer, and yields what is sent instead, piece by piece; `HANG_UP` ends the connection.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import BinaryIO, Self

from chunk_sync.mail.imap import ImapLimits, ImapSource
from chunk_sync.mail.imap_session import Account
from chunk_sync.mail.imap_wire import Endpoint
from chunk_sync_tests.servers.process import HOST

HANG_UP = None
Lie = Callable[[bytes, bytes], Iterable[bytes | None]]

_ENOUGH = 60.0
"""Seconds for what takes a moment, on a machine that stands still now and then."""
_UID_SET = re.compile(r"UID FETCH (\S+) (.*)", re.IGNORECASE)


def reply(text: str) -> Lie:
    """Answer with nothing but this completion, as `NO [CODE] text`."""
    return lambda tag, _: [tag + b" " + text.encode() + b"\r\n"]


def replaced(old: bytes, new: bytes) -> Lie:
    """Answer truly but for one thing."""

    def lie(_: bytes, truth: bytes) -> list[bytes]:
        assert old in truth, truth
        return [truth.replace(old, new, 1)]

    return lie


def cut_after(count: int) -> Lie:
    """Send the first bytes of the truth, then end the connection."""
    return lambda _, truth: [truth[:count], HANG_UP]


def once(lie: Lie) -> Lie:
    """Lie the first time only."""
    lies = iter([lie])

    def first(tag: bytes, truth: bytes) -> Iterable[bytes | None]:
        return next(lies, _honest)(tag, truth)

    return first


def _honest(_: bytes, truth: bytes) -> list[bytes]:
    return [truth]


class ScriptedImap:
    """The server; `messages` by UID, `lies` by the kind of command (see `_kind`), `commands` as they came.

    A command whose answer has arrived is in `commands`. One that nobody waited for, as LOGOUT, is there for certain
    when the server has ended: leaving it hears all clients to the end of their lines.
    """

    def __init__(
        self,
        messages: Mapping[int, bytes] | None = None,
        lies: Mapping[str, Lie] | None = None,
        *,
        capabilities: str = "IMAP4rev1 AUTH=PLAIN",
    ) -> None:
        self.messages = dict(messages or {})
        self.lies = dict(lies or {})
        self.capabilities = capabilities
        self.uidvalidity = 7
        self.uid_next = max(self.messages, default=0) + 1
        self.commands: list[str] = []
        self.connections = 0
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, error: type[BaseException] | None, *rest: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(_ENOUGH)  # from here on there are no new connections
        for connection in self._open if error else ():  # a test that failed may have left some open
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_ENOUGH)
            assert not thread.is_alive()

    def source(
        self,
        password: str = "sesame",
        *,
        user: str = "ann",
        silence: float = _ENOUGH,
        patience: float = _ENOUGH,
        max_message_bytes: int = 1 << 20,
        reopen: float = 30,
        endpoint: Endpoint | None = None,
        auth: str | None = None,
    ) -> ImapSource:
        """Make a source that speaks with this server."""
        limits = ImapLimits(silence=silence, patience=patience, max_message_bytes=max_message_bytes, reopen=reopen)
        return ImapSource(endpoint or Endpoint(HOST, self.port, tls=False), Account(user, password, auth), limits)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            try:
                self._converse(connection, lines)
            except OSError:  # the client has gone: what it had said is heard all the same
                self.commands += [_read(line)[1] for line in lines]

    def _converse(self, connection: socket.socket, lines: BinaryIO) -> None:
        if not self._answer(connection, "greeting", b"", b"* OK ready\r\n"):
            return
        for line in lines:
            tag, command = _read(line)
            self.commands.append(command)
            kind = _kind(command)
            if kind == "AUTHENTICATE":
                connection.sendall(b"+ \r\n")
                self.commands.append(lines.readline().decode().strip())
            truth = b"".join(self._truth(kind, command)) + tag.encode() + b" OK done\r\n"
            if not self._answer(connection, kind, tag.encode(), truth) or kind == "LOGOUT":
                return

    def _answer(self, connection: socket.socket, kind: str, tag: bytes, truth: bytes) -> bool:
        lie = self.lies.get(kind)
        for piece in lie(tag, truth) if lie else [truth]:
            if piece is HANG_UP:
                connection.shutdown(socket.SHUT_RDWR)
                return False
            connection.sendall(piece)
        return True

    def _truth(self, kind: str, command: str) -> Iterator[bytes]:
        if kind == "CAPABILITY":
            yield f"* CAPABILITY {self.capabilities}\r\n".encode()
        elif kind == "LIST":
            yield b'* LIST () "/" INBOX\r\n'
        elif kind == "EXAMINE":
            yield b"* %d EXISTS\r\n* OK [UIDVALIDITY %d] ok\r\n" % (len(self.messages), self.uidvalidity)
            yield b"* OK [UIDNEXT %d] ok\r\n" % self.uid_next
        elif kind == "SEARCH":
            found = self._chosen(command.rpartition(" ")[2])
            yield b"* SEARCH " + b" ".join(b"%d" % uid for uid in found) + b"\r\n"
        elif kind in {"SIZES", "LISTING", "EXISTING", "BODIES"}:
            match = _UID_SET.fullmatch(command)
            assert match, command
            for number, uid in enumerate(self._chosen(match[1]), 1):
                yield b"* %d FETCH (UID %d%s)\r\n" % (number, uid, self._item(kind, self.messages[uid]))

    def _chosen(self, uids: str) -> list[int]:
        if uids == "*":
            return [max(self.messages)]
        ranges = [tuple(int(end) for end in part.split(":")) for part in uids.split(",")]
        return [uid for uid in sorted(self.messages) if any(pair[0] <= uid <= pair[-1] for pair in ranges)]

    @staticmethod
    def _item(kind: str, raw: bytes) -> bytes:
        if kind == "EXISTING":
            return b""
        if kind == "BODIES":
            return b" BODY[] {%d}\r\n%s" % (len(raw), raw)
        flags = rb" FLAGS (\Seen)" if kind == "SIZES" else b""
        return flags + b' INTERNALDATE "17-Jul-1996 02:44:25 -0700" RFC822.SIZE %d' % len(raw)


def _read(line: bytes) -> tuple[str, str]:
    """Read the tag and the command."""
    tag, _, command = line.decode("utf-8", "surrogateescape").rstrip("\r\n").partition(" ")
    return tag, command


def _kind(command: str) -> str:
    """Name a command: by its verb, UID FETCH by what it asks for."""
    verb = command.split(" ", 1)[0].upper()
    if verb != "UID":
        return verb
    for kind, sign in (("SEARCH", "UID SEARCH"), ("BODIES", "BODY"), ("SIZES", "FLAGS"), ("LISTING", "SIZE")):
        if sign in command.upper():
            return kind
    return "EXISTING"
