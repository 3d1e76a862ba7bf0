"""A long line: `python -m benchmarks.mail.delay_proxy` forwards a port, each byte half a round trip later.

Only time is added. What is on its way is held as whole pieces with the moment when each is due, so that any number of
commands and answers can be in flight and the line's throughput stays what it was. No slow start, no loss, no limit.
The connection itself is made at once: its handshake is not delayed, the greeting is.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections import deque

from benchmarks.queue.programs.wire import Wire

HOST = "127.0.0.1"
_HELD_BYTES = 256 << 20
"""On its way in one direction at most, far above any product of bandwidth and delay here."""


class _Direction:
    """One direction of a connection: pieces in, the same pieces out when they are due."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._held: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.source: asyncio.Transport | None = None
        self.target: asyncio.Transport | None = None

    def take(self, data: bytes) -> None:
        """Hold what came; b"" is the end of the stream."""
        self._held.append((self._loop.time() + self._delay, data))
        self._size += len(data)
        if self._size > _HELD_BYTES and self.source:
            self.source.pause_reading()
        if self._timer is None:
            self._timer = self._loop.call_later(self._delay, self.give)

    def give(self) -> None:
        """Hand on all that is due, and come back for the rest."""
        self._timer = None
        now = self._loop.time()
        due: list[bytes] = []
        ended = False
        while self._held and self._held[0][0] <= now:
            data = self._held.popleft()[1]
            due.append(data)
            ended = ended or not data
            self._size -= len(data)
        if self.target and not self.target.is_closing():
            self.target.writelines(due)
            if ended:
                self.target.close()
        if self.source and self._size <= _HELD_BYTES:
            self.source.resume_reading()
        if self._held:
            self._timer = self._loop.call_at(self._held[0][0], self.give)


class _End(asyncio.Protocol):
    """One end of a forwarded connection."""

    def __init__(self, reads: _Direction, writes: _Direction) -> None:
        self._reads, self._writes = reads, writes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._reads.source = self._writes.target = transport

    def data_received(self, data: bytes) -> None:
        self._reads.take(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._reads.source = None
        self._reads.take(b"")


async def forward(upstream: int, delay: float, wire: Wire) -> None:
    """Listen on a free port until told to stop; `delay` in seconds a direction."""
    loop = asyncio.get_running_loop()

    class _Accepted(_End):
        def __init__(self) -> None:
            there, back = _Direction(delay), _Direction(delay)
            super().__init__(there, back)
            self._opening = loop.create_task(_connect(back, there))

    async def _connect(back: _Direction, there: _Direction) -> None:
        try:
            await loop.create_connection(lambda: _End(back, there), HOST, upstream)
        except OSError:
            back.take(b"")
        else:
            there.give()

    with socket.create_server((HOST, 0)) as listening:
        server = await loop.create_server(_Accepted, sock=listening)
        async with server:
            wire.say(port=listening.getsockname()[1])
            await asyncio.to_thread(wire.word)


if __name__ == "__main__":
    the_wire = Wire()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(forward(the_wire.job["upstream"], the_wire.job["round_trip"] / 2, the_wire))
    sys.exit(0)
