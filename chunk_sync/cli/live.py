"""The web server of `metrics`: /metrics, the live page at /, and what that page asks for each second, /status.json."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from chunk_sync.cli.readings import Reading
from chunk_sync.cli.status_json import status_json
from chunk_sync.errors import UsageError
from chunk_sync.store.live import LiveStatus

Answer = Callable[[str], tuple[bytes, str]]
"""Takes what a client accepts; gives a body and its content type."""

_PAGE = Path(__file__).with_name("live.html")
_SLOWEST_CLIENT_SECONDS = 10.0
_LAST_ANSWERS_SECONDS = 5.0


@contextmanager
def serving(host: str, port: int, metrics: Answer, status: Callable[[], Reading[LiveStatus]]) -> Iterator[int]:
    """Serve while inside; gives the port. Raises UsageError when it cannot be had."""
    page = _PAGE.read_bytes()

    class Handler(_Handler):
        answers: ClassVar[dict[str, Answer]] = {
            "/": lambda _: (page, "text/html; charset=utf-8"),
            "/metrics": metrics,
            "/status.json": lambda _: (status_json(status()).encode(), "application/json"),
        }
        policy = _policy(page)

    try:
        server = _Server((host, port), Handler)
    except OSError as error:
        message = f"cannot serve at {host}:{port}: {error.strerror or error}; choose another with --port or --host"
        raise UsageError(message) from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        server.finish_answers()


class _Server(ThreadingHTTPServer):
    """Answers each client in a thread of its own."""

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._answering = 0
        self._changed = threading.Condition()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin an answer."""
        with self._changed:
            self._answering += 1
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, in the client's thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._answering -= 1
                self._changed.notify_all()

    def finish_answers(self) -> None:
        """Wait for the answers that were begun, but not for ever: a client may be slow on purpose."""
        with self._changed:
            self._changed.wait_for(lambda: not self._answering, _LAST_ANSWERS_SECONDS)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD of a few paths."""

    answers: ClassVar[dict[str, Answer]]
    policy: ClassVar[str]
    timeout = _SLOWEST_CLIENT_SECONDS
    server_version = "chunk_sync"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with headers and body."""
        body = self._head()
        if body is not None:
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        """Answer with the headers alone."""
        self._head()

    def _head(self) -> bytes | None:
        answer = self.answers.get(self.path.partition("?")[0])
        if answer is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        body, content_type = answer(self.headers.get("Accept", ""))
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", self.policy)
        self.end_headers()
        return body

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing: scrapers come every few seconds."""


def _policy(page: bytes) -> str:
    """Allow the page its own script and style, and to ask this server: nothing else, whatever a name contains."""
    parts = {
        kind: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"
            for text in re.findall(rf"<{tag}>(.*?)</{tag}>".encode(), page, re.DOTALL)
        )
        for kind, tag in (("script-src", "script"), ("style-src", "style"))
    }
    return (
        f"default-src 'none'; connect-src 'self'; script-src {parts['script-src']}; style-src {parts['style-src']};"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
