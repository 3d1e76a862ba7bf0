"""A TCP proxy before a real IMAP server: it fails where a test says so, and can delay what passes.

It reads the line as IMAP (replies whole, with their literals), so that a fault strikes at an exact place
of the protocol. asyncio in a thread of its own. After STARTTLS it hands bytes through unread.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self
from urllib.parse import quote

from chunk_sync_tests.servers.certificates import Certificates
from chunk_sync_tests.servers.fault_lane import BLOCK, Cut, Lane, Streams, opened, reset_on_close
from chunk_sync_tests.servers.fault_script import Drip, Fault, Place, Step, Steps
from chunk_sync_tests.servers.process import ENOUGH, HOST, wait_until

Address = tuple[str, int]

_LITERAL = re.compile(rb"\{(\d+)\+?\}\r\n$")
_COMMAND = re.compile(rb"([A-Za-z0-9]+) ([A-Za-z].*)", re.DOTALL)
_STARTTLS = re.compile(rb"STARTTLS\b", re.IGNORECASE)


class FaultProxy:
    """Use it as a context manager; `faults` may be changed at any time.

    `round_trip` is in seconds. `hide` are capabilities that clients must not see: what is compressed cannot
    be read. With `certificates` clients speak TLS to the proxy, and the proxy plain text to the server.
    `commands` are the clients' commands as they came, without tags; `connections` counts them. What a client says
    without waiting for an answer is among them after `hear_out`. `silent` are the clients, by their addresses, that
    have got all that they will ever get.
    """

    def __init__(
        self,
        port: int,
        faults: Iterable[Fault] = (),
        *,
        round_trip: float = 0.0,
        certificates: Certificates | None = None,
        hide: Iterable[str] = ("COMPRESS=DEFLATE",),
    ) -> None:
        self.faults = list(faults)
        self.commands: list[str] = []
        self.connections = 0
        self.silent: set[Address] = set()
        self._ended = 0
        self.one_way = round_trip / 2
        self.hidden = tuple(b" " + word.encode() for word in hide)
        self._upstream = port
        self._ca = certificates.ca if certificates else None
        self._tls = _server_context(certificates) if certificates else None
        self._listener = socket.create_server((HOST, 0))
        self._listener.settimeout(0)
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fault-proxy")
        self._serving: asyncio.Task[None] | None = None
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(ENOUGH)
        assert not self._thread.is_alive()
        if self._error:
            raise self._error  # a script that does not fit what the server said

    def address_of(self, user: str) -> str:
        """Spell a user's mailbox behind the proxy as chunk_sync does."""
        if self._tls:
            return f"imaps://{quote(user)}@{HOST}:{self.port}/?ca={self._ca}"
        return f"imap://{quote(user)}@{HOST}:{self.port}/"

    def hear_out(self) -> None:
        """Wait until the clients, who all have hung up, were heard to the end."""
        assert wait_until(lambda: self._ended == self.connections), "a client is still connected"

    def strike(self, place: Place, text: bytes, tag: bytes, truth: bytes, command: bytes = b"") -> Steps | None:
        """Give the steps of the fault whose moment this is; None when all is honest."""
        struck = next((fault for fault in self.faults if fault.strikes(place, text, command)), None)
        return struck.act(tag, truth) if struck else None

    def _run(self) -> None:
        self._serving = self._loop.create_task(self._serve())
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serving)
        self._loop.close()
        self._listener.close()

    def _end(self) -> None:
        assert self._serving
        self._serving.cancel()

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                client, _ = await self._loop.sock_accept(self._listener)
                self.connections += 1
                tasks.create_task(self._connection(client))

    async def _connection(self, client: socket.socket) -> None:
        try:
            await self._before_tls(client)
            async with opened(client, self._tls) as down, opened(self._dial(), None) as up:
                await _Connection(self, down, up).run()
        except (OSError, asyncio.IncompleteReadError, Cut):
            pass
        except Exception as error:  # noqa: BLE001 - the test hears of it when the proxy ends
            self._error = error
        finally:
            client.close()
            self._ended += 1

    def _dial(self) -> socket.socket:
        return socket.create_connection((HOST, self._upstream))

    async def _before_tls(self, client: socket.socket) -> None:
        steps = self.strike(Place.CONNECT, b"", b"", b"")
        for step in steps or ():
            if isinstance(step, bytes):
                await self._loop.sock_sendall(client, step)
            elif step is Step.RST:
                if self._tls:  # in the handshake: before it, the standard library loses the socket
                    await self._loop.sock_recv(client, 1)
                reset_on_close(client)
                raise Cut
            elif step in {Step.FIN, Step.STALL}:
                if step is Step.FIN:
                    client.shutdown(socket.SHUT_WR)
                self.silent.add(client.getpeername())
                while await self._loop.sock_recv(client, BLOCK):
                    pass
                raise Cut


class _Connection:
    """A client, its server, and the commands that are not answered yet."""

    def __init__(self, proxy: FaultProxy, client: Streams, server: Streams) -> None:
        self._proxy = proxy
        self._client, self._server = client.reader, server.reader
        self._address: Address = client.writer.get_extra_info("peername")
        self._down, self._up = Lane(client, proxy.one_way), Lane(server, proxy.one_way)
        self._in_flight: dict[bytes, bytes] = {}
        self._answered = asyncio.Event()
        self._blind = False

    async def run(self) -> None:
        """Serve until one of the two, or a fault, ends it."""
        jobs = (self._from_client(), self._from_server(), self._down.run(), self._up.run())
        tasks = [asyncio.ensure_future(job) for job in jobs]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = [task for task in tasks if task.done()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in ended:
            task.result()

    async def _from_client(self) -> None:
        """Read commands until the client goes: then everything ends."""
        while line := await self._client.readline():
            command = _COMMAND.match(line)
            if command is None:  # a continuation: of AUTHENTICATE, of IDLE
                await self._up.put(line)
                continue
            tag, text = command.groups()
            self._proxy.commands.append(text.decode("latin-1").rstrip("\r\n"))
            steps = self._proxy.strike(Place.COMMAND, text, tag, text)
            if steps is None:
                await self._forward(tag, text, line)
            else:
                await self._all_answered()
                await self._do(steps, lambda: self._forward(tag, text, line), self._discard)  # noqa: B023 - at once
            if _STARTTLS.match(text):
                await self._all_answered()
            if self._blind:
                await self._up.copy(self._client)

    async def _forward(self, tag: bytes, text: bytes, line: bytes) -> None:
        self._in_flight[tag] = text
        while literal := _LITERAL.search(line):
            await self._up.put(line)
            await self._up.put(await self._client.readexactly(int(literal[1])))
            line = await self._client.readline()
        await self._up.put(line)

    async def _from_server(self) -> None:
        """Read replies until the server goes; its last words still reach the client."""
        steps = await self._struck(Place.GREETING, greeting := await self._reply())
        await self._do(steps, lambda: self._down.put(greeting), _for_ever)
        while reply := await self._reply():
            tag = reply.split(b" ", 1)[0]
            place = Place.COMPLETION if tag in self._in_flight else Place.REPLY
            if place is Place.COMPLETION and _STARTTLS.match(self._in_flight[tag]):
                self._blind = reply.startswith(tag + b" OK")
            steps = await self._struck(place, reply)
            await self._do(steps, lambda: self._down.put(reply), _for_ever)
            if self._in_flight.pop(tag, None):
                self._answered.set()
            if self._blind:
                await self._down.copy(self._server)
        await self._down.put(Step.FIN)
        await _for_ever()

    async def _struck(self, place: Place, reply: bytes) -> Steps:
        """Look for a fault: a completion is known by its command, all else by its own first line."""
        tag = reply.split(b" ", 1)[0]
        oldest = next(iter(self._in_flight.values()), b"")
        text = self._in_flight[tag] if place is Place.COMPLETION else reply.partition(b"\r\n")[0]
        steps = self._proxy.strike(place, text, tag, reply, oldest)
        return [Step.HONEST] if steps is None else steps

    async def _reply(self) -> bytes:
        whole = line = await self._server.readline()
        while literal := _LITERAL.search(line):
            whole += await self._server.readexactly(int(literal[1]))
            line = await self._server.readline()
            whole += line
        if b"CAPABILITY" in whole:
            for word in self._proxy.hidden:
                whole = whole.replace(word, b"")
        return whole

    async def _do(
        self, steps: Steps, honest: Callable[[], Awaitable[None]], stalled: Callable[[], Awaitable[Any]]
    ) -> None:
        for step in steps:
            if step is Step.HONEST:
                await honest()
            elif step is Step.STALL:
                await self._down.emptied()
                self._proxy.silent.add(self._address)
                await stalled()
            elif isinstance(step, bytes | Drip):
                await self._down.put(step)
            elif isinstance(step, Step):
                await self._down.put(step)
                await stalled()
            else:
                await asyncio.to_thread(step)

    async def _discard(self) -> None:
        while await self._client.read(BLOCK):
            pass
        raise Cut

    async def _all_answered(self) -> None:
        while self._in_flight:
            self._answered.clear()
            await self._answered.wait()


async def _for_ever() -> None:
    await asyncio.Event().wait()


def _server_context(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    return context
