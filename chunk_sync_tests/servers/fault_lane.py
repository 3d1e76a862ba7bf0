"""One direction of a proxied connection: bytes that come out later, more slowly, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NoReturn

from chunk_sync_tests.servers.fault_script import Drip, Step

LINE_LIMIT = 1 << 24
BLOCK = 1 << 16
_DRIP_PAUSE = 0.02
_GOODBYE = 60.0


class Cut(Exception):
    """A fault, or one of the ends, has ended the connection."""


@dataclass(frozen=True, slots=True)
class Streams:
    """One socket."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def end(self, step: Step) -> None:
        """End it as the step says; after a FIN the other side has a while to go by itself."""
        await self.writer.drain()
        if step is Step.RST:
            reset_on_close(self.writer.get_extra_info("socket"))
            self.writer.transport.abort()
            return
        if self.writer.can_write_eof():
            self.writer.write_eof()
        else:  # TLS says goodbye in its own way
            self.writer.close()
        await asyncio.sleep(_GOODBYE)


@contextlib.asynccontextmanager
async def opened(connected: socket.socket, tls: ssl.SSLContext | None) -> AsyncIterator[Streams]:
    """Make streams of a connected socket, with TLS as its server where there is a context."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(LINE_LIMIT, loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    connected.settimeout(0)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, connected, ssl=tls)
    if tls is None:  # whoever drains knows that all has gone; asyncio's TLS would never say so
        transport.set_write_buffer_limits(0)
    try:
        yield Streams(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
    finally:
        transport.abort()


def reset_on_close(connected: socket.socket) -> None:
    """Let the end of a socket be an RST."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Lane:
    """What is put in comes out after the delay (seconds), in order."""

    def __init__(self, streams: Streams, delay: float) -> None:
        self._streams = streams
        self._delay = delay
        self._rate = 0.0
        self._queue: asyncio.Queue[tuple[float, bytes | Step | Drip]] = asyncio.Queue(64)

    async def put(self, step: bytes | Step | Drip) -> None:
        """Send this next; waits while too much is under way."""
        await self._queue.put((asyncio.get_running_loop().time() + self._delay, step))

    async def emptied(self) -> None:
        """Wait until all that was put in has gone to the other side."""
        await self._queue.join()

    async def copy(self, reader: asyncio.StreamReader) -> None:
        """Hand on whatever comes, unread, to its end."""
        while data := await reader.read(BLOCK):
            await self.put(data)

    async def run(self) -> NoReturn:
        """Work until a step ends the connection: then Cut is raised."""
        loop = asyncio.get_running_loop()
        while True:
            due, step = await self._queue.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            if isinstance(step, bytes):
                await self._write(step)
            elif isinstance(step, Drip):
                self._rate = step.bytes_per_second
            else:
                await self._streams.end(step)
                raise Cut
            self._queue.task_done()

    async def _write(self, data: bytes) -> None:
        size = max(1, int(self._rate * _DRIP_PAUSE)) if self._rate else len(data) or 1
        for start in range(0, len(data), size):
            self._streams.writer.write(data[start : start + size])
            await self._streams.writer.drain()
            if self._rate:
                await asyncio.sleep(size / self._rate)
