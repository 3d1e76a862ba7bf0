"""The IMAP wire: stdlib imaplib for greeting and login, with our own reader under it.

imaplib as it comes keeps a whole answer in memory, loses what had arrived when the line is cut, waits
without end for a server that drips, and allocates whatever literal size it is told. So the documented
hooks (`open`, `read`, `readline`, `send`, `shutdown`) are overridden here, and `start`/`replies` stream
an answer reply by reply. Used by one thread.
"""

from __future__ import annotations

import contextlib
import errno
import imaplib
import io
import ipaddress
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunk_sync.mail.imap_errors import ServerRefused
from chunk_sync.mail.imap_tokens import Literal, Reply, ReplyError, SkippedLiteral

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_MAX_LINE = 1 << 24  # an answer to SEARCH that names a million UIDs
_BUFFER = 1 << 18
_BLOCK = 1 << 16
_LITERAL = re.compile(rb"~?\{(\d{1,19})\+?\}\r\n$")
_STATUS = re.compile(rb"\* (?:OK|NO|BAD|BYE|PREAUTH)\b", re.IGNORECASE)
_FAREWELL = re.compile(rb"\* BYE\b", re.IGNORECASE)
_COMPLETION = re.compile(rb"(\S+) (OK|NO|BAD)\b *(.*)", re.IGNORECASE | re.DOTALL)
_REFUSED_COMMAND = re.compile(rb".*command error: (BAD|NO) \[b['\"](.*)['\"]\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the server is and how to speak to it; `tls` from the first byte on, else STARTTLS or plain."""

    host: str
    port: int
    tls: bool
    ca_file: str | None = None
    compress: bool | None = None  # None: where the line is not local

    @property
    def is_loopback(self) -> bool:
        """Say whether the line never leaves this machine, so that it may be unencrypted."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class ImapWire(imaplib.IMAP4):
    """One IMAP connection. `allow` gives the patience, in seconds, that all later waiting shares."""

    def __init__(self, endpoint: Endpoint, *, silence: float, patience: float, max_literal: int) -> None:
        self._endpoint = endpoint
        self._silence = silence
        self._patience = patience
        self._max_literal = max_literal
        self._tag_number = 0
        self._in_flight: set[bytes] = set()
        self._done: dict[bytes, ServerRefused | bytes] = {}
        self._squeezer: Callable[[ReadableBuffer], bytes] | None = None
        self.completion = b""
        self.enabled: frozenset[str] = frozenset()
        try:
            super().__init__(endpoint.host, endpoint.port, timeout=silence)
        except imaplib.IMAP4.error as exc:
            raise from_imaplib(exc) from None

    # -- imaplib's documented hooks ------------------------------------------------------------------

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:
        """Connect, and begin TLS when the endpoint says so."""
        self.host, self.port = host, port
        plain = socket.create_connection((host, port), timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = plain
        self._reader = io.BufferedReader(_PatientSocket(self), _BUFFER)
        if self._endpoint.tls:
            self.begin_tls()

    def read(self, size: int) -> bytes:
        """Read exactly `size` bytes; raises EOFError when the connection ends before."""
        if size > 2 * self._max_literal:  # before allocating: a size is only a claim
            message = f"a literal of {size} bytes, far more than was announced"
            raise ReplyError(message)
        data = self._reader.read(size)
        if len(data) < size:
            message = "the connection ended inside a literal"
            raise EOFError(message)
        return data

    def readline(self) -> bytes:
        """Read one line with its line end; raises EOFError at the end of the connection."""
        line = self._reader.readline(_MAX_LINE + 1)
        if len(line) > _MAX_LINE:
            message = "a line that is too long"
            raise ReplyError(message)
        if not line.endswith(b"\n"):
            message = "the connection ended"
            raise EOFError(message)
        return line

    def send(self, data: ReadableBuffer) -> None:
        """Send bytes."""
        self.sock.settimeout(self._silence)
        if self._squeezer is not None:
            data = self._squeezer(data)
        self.sock.sendall(data)

    def shutdown(self) -> None:
        """Close the connection at once; never raises."""
        with contextlib.suppress(OSError):
            self._reader.close()
            self.sock.close()

    @property
    def is_idle(self) -> bool:
        """Say whether nothing is on its way any more, so that a new command would get its own answer."""
        return not self._in_flight and not self._reader.closed

    # -- streaming -----------------------------------------------------------------------------------

    def allow(self, seconds: float) -> None:
        """Set how long all waiting for the server may take from now on."""
        self._patience = seconds

    def extend(self, seconds: float) -> None:
        """Add to the patience that is left."""
        self._patience += seconds

    @property
    def commands(self) -> int:
        """How many commands were sent."""
        return self._tag_number

    def start(self, command: str, argument: bytes | None = None) -> bytes:
        """Send a command, with an optional string at its end; returns the tag that `replies` wants."""
        self._tag_number += 1
        tag = b"S%d" % self._tag_number
        line = tag + b" " + command.encode("ascii")
        self._in_flight.add(tag)
        if argument is None:
            self.send(line + b"\r\n")
        elif argument.isascii() and not re.search(rb"[\x00-\x1f\x7f]", argument):
            self.send(line + b' "' + re.sub(rb'([\\"])', rb"\\\1", argument) + b'"\r\n')
        else:
            without_wait = "LITERAL+" in self.capabilities
            self.send(line + b" {%d%s}\r\n" % (len(argument), b"+" if without_wait else b""))
            if not without_wait:
                list(self.until_go_ahead(tag))
            if tag in self._in_flight:
                self.send(argument + b"\r\n")
        return tag

    def replies(self, tag: bytes) -> Iterator[Reply]:
        """Yield untagged replies as they arrive until `tag` completes; raises ServerRefused on NO, BAD, BYE.

        With several commands in flight a reply may belong to any of them: it is for the caller to know.
        The text of the OK is then in `completion`.
        """
        while tag not in self._done:
            if self._reader.closed:
                raise ConnectionAbortedError(errno.ECONNABORTED, "the connection was given up for another command")
            reply = self.next_reply()
            if reply is not None:
                yield reply
        outcome = self._done.pop(tag)
        if isinstance(outcome, ServerRefused):
            raise outcome
        self.completion = outcome

    def run(self, command: str, argument: bytes | None = None) -> list[Reply]:
        """Send a command and collect its replies: for short answers."""
        return list(self.replies(self.start(command, argument)))

    def until_go_ahead(self, tag: bytes) -> Iterator[Reply]:
        """Yield untagged replies until the server says `+`, or completes `tag` instead: then it is not in flight."""
        while tag not in self._done:
            line = self.readline()
            if line.startswith(b"+"):
                return
            reply = self._rest_of_reply(line)
            if reply is not None:
                yield reply

    def heard(self, seconds: float) -> bool:
        """Wait until the server says something, or hangs up; False when it does neither for so long."""
        self._patience = seconds
        try:
            self._reader.peek(1)
        except TimeoutError:
            return False
        return True

    def next_reply(self) -> Reply | None:
        """Read the next reply; None for the completion of a command, which `replies` then knows."""
        return self._rest_of_reply(self.readline())

    def _rest_of_reply(self, line: bytes) -> Reply | None:
        if not self._take_line(line):
            return None
        if line[-3:-2] != b"}" or _STATUS.match(line):
            return Reply((line,))
        texts: list[bytes] = []
        literals: list[Literal] = []
        while size := _LITERAL.search(line):
            texts.append(line[: size.start()])
            literals.append(self._read_literal(int(size[1])))
            line = self.readline()
        return Reply((*texts, line), tuple(literals))

    def _take_line(self, line: bytes) -> bool:
        """Note completions and farewells; returns whether the line begins an untagged reply."""
        if line.startswith(b"* "):
            if line[2] in b"Bb" and _FAREWELL.match(line):
                raise ServerRefused("BYE", line[5:].strip())
            return True
        match = _COMPLETION.match(line)
        if match is None or match[1] not in self._in_flight:
            message = "a line that is neither a reply nor a completion"
            raise ReplyError(message)
        self._in_flight.discard(match[1])
        kind, text = match[2].decode("ascii").upper(), match[3].strip()
        self._done[match[1]] = text if kind == "OK" else ServerRefused(kind, text)
        return False

    def _read_literal(self, size: int) -> Literal:
        """Read a literal; one above the cap is thrown away, one far above it is a lie (see `read`)."""
        if size <= self._max_literal or size > 2 * self._max_literal:
            return self.read(size)
        for done in range(0, size, _BLOCK):
            self.read(min(_BLOCK, size - done))
        return SkippedLiteral(size)

    def begin_tls(self) -> None:
        """Wrap the socket; whatever was sent before the handshake is dropped, it may be forged."""
        context = ssl.create_default_context(cafile=self._endpoint.ca_file)
        try:
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)
        except OSError:
            self.sock.close()
            raise
        self._reader = io.BufferedReader(_PatientSocket(self), _BUFFER)

    def begin_compression(self) -> None:
        """Compress both ways from now on (RFC 4978): the server has agreed and sends nothing before we do."""
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        self._squeezer = lambda data: packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)
        self._reader = io.BufferedReader(_Inflated(_PatientSocket(self)), _BUFFER)

    def wait_for_bytes(self, buffer: WriteableBuffer) -> int:
        """Receive once, within the silence allowed and the patience that is left."""
        if self._patience <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "the server is too slow")
        started = time.monotonic()
        self.sock.settimeout(min(self._silence, self._patience))
        try:
            return self.sock.recv_into(buffer)
        finally:
            # Time that the caller spends between replies is its own and is not counted.
            self._patience -= time.monotonic() - started


class _PatientSocket(io.RawIOBase):
    """The raw stream under the buffer: it follows the wire's current socket."""

    def __init__(self, wire: ImapWire) -> None:
        super().__init__()
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return self._wire.wait_for_bytes(buffer)


class _Inflated(io.RawIOBase):
    """A compressed stream, unpacked as far as it is asked for: what a few bytes swell to never lies in memory."""

    def __init__(self, packed: io.RawIOBase) -> None:
        super().__init__()
        self._packed = packed
        self._inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        while True:
            try:
                data = self._inflater.decompress(self._rest, len(view))
            except zlib.error as exc:
                message = "compressed data that is none"
                raise ReplyError(message) from exc
            self._rest = self._inflater.unconsumed_tail
            if data:
                view[: len(data)] = data
                return len(data)
            self._rest += self._packed.read(_BLOCK) or b""
            if not self._rest:
                return 0


def from_imaplib(exc: imaplib.IMAP4.error) -> ServerRefused | ReplyError:
    """Dig the server's own text out of imaplib's exceptions."""
    argument = exc.args[0] if exc.args else b""
    text = argument if isinstance(argument, bytes) else str(argument).encode("utf-8", "replace")
    text = re.sub(rb"^command: \w+ => ", b"", text)
    if text.startswith((b"unexpected ", b"server not IMAP4")):
        return ReplyError("what answers there does not speak IMAP")
    refused = _REFUSED_COMMAND.match(text) or re.match(rb"\* (BYE|NO|BAD)\b *(.*)", text, re.DOTALL)
    if refused:
        return ServerRefused(refused[1].decode("ascii"), refused[2])
    return ServerRefused("BYE" if isinstance(exc, imaplib.IMAP4.abort) else "NO", text)
