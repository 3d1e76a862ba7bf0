"""Fetching alone, nothing kept: the raw socket as the limit, imaplib in blocks and message by message, IMAPClient.

`python -m benchmarks.mail.programs.fetchers`; IMAPClient's in an environment of its own.
"""

from __future__ import annotations

import imaplib
import re
import socket
from collections.abc import Iterator

from benchmarks.mail.programs.meter import pull
from benchmarks.queue.programs.wire import Wire, main

_BLOCK = 200
_BUFFER = 1 << 20
_TAIL = 1 << 10
_EXISTS = re.compile(rb"\* (\d+) EXISTS")
_ITEMS = "(UID FLAGS INTERNALDATE BODY.PEEK[])"


def sink(wire: Wire) -> None:
    """Ask once for everything and throw the bytes away: as fast as the server gives."""
    pull(wire, _drain)


def _drain(wire: Wire) -> tuple[int, int]:
    job = wire.job
    with socket.create_connection((job["host"], job["port"])) as line:
        buffer = memoryview(bytearray(_BUFFER))
        _read_until(line, buffer, b"* OK")
        line.sendall(f"a LOGIN {job['user']} {job['password']}\r\n".encode())
        _read_until(line, buffer, b"a OK")
        line.sendall(b"b EXAMINE INBOX\r\n")
        _, head = _read_until(line, buffer, b"b OK")
        line.sendall(b"end0fall UID FETCH 1:* (UID BODY.PEEK[])\r\n")
        size, _ = _read_until(line, buffer, b"end0fall OK")
    exists = _EXISTS.search(head)
    assert exists, head
    return int(exists[1]), size


def _read_until(line: socket.socket, buffer: memoryview, completion: bytes) -> tuple[int, bytes]:
    """Read until the last line begins so; the number of bytes, and the last of them."""
    size, tail = 0, b"\n"
    while True:
        count = line.recv_into(buffer)
        if not count:
            message = "the server closed the connection"
            raise ConnectionError(message)
        size += count
        tail = (tail + bytes(buffer[max(0, count - _TAIL) : count]))[-_TAIL:]
        if (
            tail.endswith(b"\r\n")
            and b"\n" + completion in tail
            and tail[:-2].rpartition(b"\n")[2].startswith(completion)
        ):
            return size, tail


def blocks(wire: Wire) -> None:
    """Fetch with imaplib, 200 UIDs a command."""
    pull(wire, lambda wire: _with_imaplib(wire, _BLOCK))


def single(wire: Wire) -> None:
    """Fetch with imaplib, a message a command: what naive loops do."""
    pull(wire, lambda wire: _with_imaplib(wire, 1))


def _with_imaplib(wire: Wire, block: int) -> tuple[int, int]:
    imaplib._MAXLINE = 1 << 26  # noqa: SLF001 - its limit for a line ends a search of many messages
    job, messages, size = wire.job, 0, 0
    with imaplib.IMAP4(job["host"], job["port"]) as client:
        client.login(job["user"], job["password"])
        client.select("INBOX", readonly=True)
        uids = [int(uid) for uid in client.uid("SEARCH", "ALL")[1][0].split()][: job["limit"]]
        for some in _cut(uids, block):
            answer, parts = client.uid("FETCH", f"{some[0]}:{some[-1]}", _ITEMS)
            assert answer == "OK", parts
            for part in parts:
                if isinstance(part, tuple):
                    messages, size = messages + 1, size + len(part[1])
    return messages, size


def imapclient(wire: Wire) -> None:
    """Fetch with IMAPClient, 200 UIDs a command."""
    from imapclient import IMAPClient

    def fetch(wire: Wire) -> tuple[int, int]:
        job, messages, size = wire.job, 0, 0
        with IMAPClient(job["host"], job["port"], ssl=False) as client:
            client.login(job["user"], job["password"])
            client.select_folder("INBOX", readonly=True)
            for some in _cut(client.search("ALL")[: job["limit"]], _BLOCK):
                for message in client.fetch(some, ["FLAGS", "INTERNALDATE", "BODY.PEEK[]"]).values():
                    messages, size = messages + 1, size + len(message[b"BODY[]"])
        return messages, size

    pull(wire, fetch)


def _cut(uids: list[int], block: int) -> Iterator[list[int]]:
    return (uids[start : start + block] for start in range(0, len(uids), block))


if __name__ == "__main__":
    main(sink=sink, blocks=blocks, single=single, imapclient=imapclient)
