"""A small IMAP client for tests: just enough to fill and to read a mailbox, and none of the product's code.

It appends exact bytes (imaplib rewrites line ends) and sends a command with its literal at once.
"""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Self

from chunk_sync.demo.maildir import modified_utf7

_LITERAL = re.compile(rb"\{(\d+)\}\r\n$")
_UID = re.compile(rb"UID (\d+)")
_LIST = re.compile(rb'\* LIST \(([^)]*)\) (?:"[^"]*"|NIL) (?:"((?:[^"\\]|\\.)*)"|([^\r\n"]+))\r\n')
_SHIFTED = re.compile(r"&([^-]*)-")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Reply(NamedTuple):
    """One response: its text with the literals left out, and the literals."""

    text: bytes
    literals: tuple[bytes, ...]


class CommandFailed(Exception):
    """The server answered NO or BAD."""


class Client:
    """One logged-in connection."""

    def __init__(self, host: str, port: int, user: str, password: str, timeout: float = 60) -> None:
        self._socket = socket.create_connection((host, port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self._socket.makefile("rb")
        self._tag = 0
        try:
            self._reply()
            self.command(f'LOGIN "{user}" "{password}"'.encode())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Cut the connection."""
        self._reader.close()
        self._socket.close()

    def command(self, text: bytes) -> list[Reply]:
        """Send one command; returns its untagged replies and, last, the tagged one.

        Raises CommandFailed on NO and BAD, ConnectionError when the server goes away.
        """
        self._tag += 1
        tag = b"T%d " % self._tag
        self._socket.sendall(tag + text + b"\r\n")
        replies: list[Reply] = []
        while True:
            reply = self._reply()
            replies.append(reply)
            if reply.text.startswith(tag):
                if not reply.text.startswith(tag + b"OK"):
                    raise CommandFailed(reply.text.decode(errors="replace").strip())
                return replies

    def folders(self) -> list[str]:
        """List the folders that can be selected, by readable name."""
        names: list[str] = []
        for reply in self.command(b'LIST "" "*"'):
            match = _LIST.match(reply.text)
            if match and b"\\Noselect" not in match[1]:
                names.append(decode_folder((match[2] or match[3]).decode()))
        return names

    def create(self, folder: str) -> None:
        """Create a folder."""
        self.command(b"CREATE " + quoted(folder))

    def rename(self, folder: str, name: str) -> None:
        """Give a folder another name; INBOX stays, and is empty afterwards."""
        self.command(b"RENAME " + quoted(folder) + b" " + quoted(name))

    def delete(self, folder: str) -> None:
        """Delete a folder with its messages."""
        self.command(b"DELETE " + quoted(folder))

    def copy_all(self, folder: str, target: str) -> None:
        """Copy all messages of a folder."""
        if self.messages(folder):
            self.command(b"UID COPY 1:* " + quoted(target))

    def append(self, folder: str, raw: bytes, received_at: datetime, flags: Iterable[str] = ()) -> None:
        """Store one message, byte for byte."""
        moment = f"{received_at.day:02d}-{_MONTHS[received_at.month - 1]}-{received_at:%Y %H:%M:%S %z}"
        top = f' ({" ".join(flags)}) "{moment}" {{{len(raw)}+}}\r\n'.encode()
        self.command(b"APPEND " + quoted(folder) + top + raw)

    def select(self, folder: str, *, writable: bool = False) -> int:
        """Open a folder; returns its UIDVALIDITY."""
        replies = self.command((b"SELECT " if writable else b"EXAMINE ") + quoted(folder))
        validity = next(filter(None, (re.search(rb"UIDVALIDITY (\d+)", reply.text) for reply in replies)))
        return int(validity[1])

    def messages(self, folder: str) -> dict[int, bytes]:
        """Fetch all messages of a folder, by UID."""
        self.select(folder)
        uids = sorted(int(uid[1]) for uid in map(_UID.search, self._texts(b"UID FETCH 1:* (UID)")) if uid)
        found: dict[int, bytes] = {}
        for at in range(0, len(uids), 200):
            wanted = b",".join(b"%d" % uid for uid in uids[at : at + 200])
            for reply in self.command(b"UID FETCH " + wanted + b" (UID BODY.PEEK[])"):
                match = _UID.search(reply.text)
                if match and reply.literals:
                    found[int(match[1])] = reply.literals[-1]
        return found

    def expunge(self, folder: str, uids: Iterable[int]) -> None:
        """Delete messages for good."""
        wanted = b",".join(b"%d" % uid for uid in uids)
        self.select(folder, writable=True)
        self.command(b"UID STORE " + wanted + b" +FLAGS.SILENT (\\Deleted)")
        self.command(b"UID EXPUNGE " + wanted)

    def flag(self, folder: str, uids: Iterable[int], *flags: str) -> None:
        """Add flags to messages."""
        self.select(folder, writable=True)
        chosen = ",".join(map(str, sorted(uids)))
        self.command(f"UID STORE {chosen} +FLAGS.SILENT ({' '.join(flags)})".encode())

    def _texts(self, command: bytes) -> list[bytes]:
        return [reply.text for reply in self.command(command)[:-1]]

    def _reply(self) -> Reply:
        text, literals = b"", list[bytes]()
        while True:
            line = self._reader.readline()
            if not line.endswith(b"\n"):
                message = f"the server closed the connection: {text + line!r}"
                raise ConnectionError(message)
            text += line
            match = _LITERAL.search(line)
            if match is None:
                return Reply(text, tuple(literals))
            literals.append(self._reader.read(int(match[1])))


def quoted(folder: str) -> bytes:
    """Write a folder's name as a quoted string."""
    return b'"' + modified_utf7(folder).replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'


def decode_folder(name: str) -> str:
    """Read modified UTF-7."""

    def unshifted(match: re.Match[str]) -> str:
        encoded = match[1].replace(",", "/")
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4)).decode("utf-16-be") if encoded else "&"

    return _SHIFTED.sub(unshifted, name)
