"""Real receivers on this machine, on ports of their own: an HTTP sink and an SMTP sink."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from chunk_sync.alerts.evaluate import deliver
from chunk_sync.alerts.send import ping, send

PATIENCE_SECONDS = 60.0
PATIENT = f"cto={PATIENCE_SECONDS:g}&rto={PATIENCE_SECONDS:g}"
"""Of a URL of apprise's: how long it waits by itself for a connection and for an answer."""


@contextmanager
def patience() -> Iterator[None]:
    """Whoever sends meanwhile, and says nothing else, waits for an answer until a busy machine has given it."""
    limits = ((send, "seconds"), (ping, "seconds"), (deliver, "budget_seconds"))
    with pytest.MonkeyPatch.context() as patch:
        for function, name in limits:
            assert function.__kwdefaults__ is not None
            patch.setitem(function.__kwdefaults__, name, PATIENCE_SECONDS)
        yield


@dataclass
class HttpSink:
    """What was posted to it; `answers` are the next status codes, 200 when they are used up."""

    port: int = 0
    requests: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address for apprise, with a password that must appear nowhere."""
        return f"json://ann:geheim-99@127.0.0.1:{self.port}/token-77?{PATIENT}"

    @property
    def titles(self) -> list[str]:
        """The titles of what was posted."""
        return [posted["title"] for _, _, posted in self.requests]


@contextmanager
def http_sink() -> Iterator[HttpSink]:
    """Run an HTTP server that remembers what it was sent."""
    sink = HttpSink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"] or 0))
            self._answer("POST", json.loads(body or b"{}"))

        def do_GET(self) -> None:
            self._answer("GET", {})

        def _answer(self, method: str, body: dict[str, Any]) -> None:
            sink.requests.append((method, self.path, body))
            self.send_response(sink.answers.pop(0) if sink.answers else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with patience(), ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sink.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()


@dataclass
class SmtpSink:
    """The mail that was sent to it."""

    port: int = 0
    mail: list[EmailMessage] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address for apprise."""
        return f"mailto://127.0.0.1:{self.port}?from=sync@ours.example&to=ops@ours.example&{PATIENT}"

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        """Take a message."""
        assert isinstance(envelope.content, bytes)
        self.mail.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        return "250 OK"


@contextmanager
def smtp_sink() -> Iterator[SmtpSink]:
    """Run an SMTP server that remembers what it was sent."""
    sink = SmtpSink()
    loop = asyncio.new_event_loop()
    listener = loop.run_until_complete(loop.create_server(lambda: SMTP(sink, loop=loop), "127.0.0.1", 0))
    sink.port = listener.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with patience():
            yield sink
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listener.close()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@contextmanager
def hanging_port() -> Iterator[int]:
    """A server that takes connections and says nothing; who is PATIENT waits for it far longer than is allowed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
