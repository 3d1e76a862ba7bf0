"""The stack that `up` keeps running, with stand-ins for Dagster's processes."""

from __future__ import annotations

import http.server
import importlib
import itertools
import json
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from chunk_sync.errors import ChunkSyncError, UsageError
from chunk_sync.local import services
from chunk_sync.local import webserver as webserver_module
from chunk_sync.local.database import database
from chunk_sync.local.dsn import libpq_url
from chunk_sync.local.ports import choose_private_port
from chunk_sync.local.processes import session_members
from chunk_sync.local.services import RestartLimit, Service, Stack
from chunk_sync.local.webserver import definitions_loaded
from chunk_sync.settings import PROJECT_ROOT, Settings, environment
from chunk_sync_tests.postgres_plugin import scratch_folder

FAKE = "chunk_sync_tests.local.fake_service"


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    """Give the settings of an installation that the tests of this module share, one after another."""
    with scratch_folder() as folder:
        yield Settings.read({"CHUNK_SYNC_HOME": str(folder / "home")})


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put fake services in the place of Dagster's."""
    for name in ("_code_server", "_daemon"):
        monkeypatch.setattr(services, name, lambda *_: [FAKE, "stay"])
    monkeypatch.setattr(services, "_webserver", lambda _, port: [FAKE, "listen", str(port)])


def running(settings: Settings) -> list[psutil.Process]:
    """Find the services of an installation that run."""
    sessions = json.loads((settings.home / "up.sessions").read_text())
    return session_members(sessions, {"CHUNK_SYNC_HOME": str(settings.home)})


def keep(stack: Stack, condition: Callable[[], object], seconds: float = 120) -> None:
    """Keep the stack alive, as `up` does, until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        stack.check()
        time.sleep(0.05)


def test_stack_starts_and_stops_everything(settings: Settings) -> None:
    """Inside, the database and three services run, with what they must know; afterwards nothing does."""
    with Stack(settings, port=None) as stack:
        stack.start_services()
        keep(stack, lambda: len(running(settings)) == 3)
        children = running(settings)
        known = children[0].environ()
        assert known["CHUNK_SYNC_DSN"] == stack.dsn
        assert known["CHUNK_SYNC_DAGSTER_DSN"] == stack.dagster_dsn
        assert known["DAGSTER_HOME"] == str(PROJECT_ROOT)
        assert known["CHUNK_SYNC_STATE"] == str(settings.home / "dagster")
        assert known["CHUNK_SYNC_RUN_SLOTS"] == str(settings.parallel_runs + 2)
        assert stack.dsn.startswith("postgresql+psycopg://chunk_sync:")
        assert stack.dagster_dsn.startswith("postgresql+psycopg2://chunk_sync:")
        assert not any(word in " ".join(child.cmdline()) for child in children for word in ("secret", "postgresql"))
        server = psutil.Process(int((settings.home / "postgres/data/postmaster.pid").read_text().splitlines()[0]))
    assert not any(process.is_running() for process in [*children, server])
    assert not (settings.home / "up.sessions").exists()
    assert sorted(path.name for path in (settings.home / "logs").glob("*.log")) == [
        "code-server.log",
        "daemon.log",
        "webserver.log",
    ]


def test_the_dead_mans_switch_is_one_of_them_when_wanted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs beside the others and ends with them."""
    monkeypatch.setattr(services, "_deadman", lambda: [FAKE, "stay"])
    with Stack(settings, port=None) as stack:
        stack.start_services(deadman=True)
        keep(stack, lambda: len(running(settings)) == 4)
        children = running(settings)
    assert not any(process.is_running() for process in children)


def test_second_up_is_told_where_the_first_is(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one `up` runs in a state folder; the second says where, and touches nothing."""
    monkeypatch.setattr(services, "definitions_loaded", lambda _url: True)
    with Stack(settings, port=None) as first:
        with pytest.raises(UsageError, match=r"^already running: it is starting$"):
            Stack(settings, port=None).__enter__()
        first.start_services()
        keep(first, first.ready)
        with pytest.raises(UsageError, match=rf"^already running: {first.url}$"):
            Stack(settings, port=None).__enter__()
        first.check()
    with Stack(settings, port=None):
        pass


def test_other_commands_share_the_server(settings: Settings) -> None:
    """A command beside `up` uses its server and leaves it on; alone, it starts and stops one."""
    with Stack(settings, port=None) as stack:
        with database(settings) as beside:
            assert beside.dsn == stack.dsn
            assert beside.embedded
        with psycopg.connect(libpq_url(stack.dsn)) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    with database(settings) as alone:
        assert alone.dsn == stack.dsn
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(libpq_url(alone.dsn))


def test_a_port_that_another_took_is_left_to_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two stacks choose the same free port; the slower one takes the next and never tells the other's address."""
    monkeypatch.setattr(services, "definitions_loaded", lambda _url: True)
    with socket.create_server(("127.0.0.1", 0)) as stranger, Stack(settings, port=None) as stack:
        taken = stranger.getsockname()[1]
        ports = itertools.chain([taken], iter(choose_private_port, None))
        chosen: list[int] = []
        monkeypatch.setattr(services, "choose_web_port", lambda _: chosen.append(next(ports)) or chosen[-1])
        stack.start_services()
        assert not stack.ready()
        keep(stack, stack.ready)
        assert taken == chosen[0] != chosen[-1]
        assert f"http://127.0.0.1:{chosen[-1]}" == stack.url


def test_wanted_port_in_use(settings: Settings) -> None:
    """A port that the user named and somebody has is refused, and nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(UsageError, match=rf"^port {port} is in use"), Stack(settings, port=port) as stack:
            stack.start_services()
    assert not (settings.home / "up.sessions").exists()


def test_killed_parts_are_started_again(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """A service and the server that were killed run again, the server on its port, and a person hears of it."""
    with Stack(settings, port=None) as stack:
        stack.start_services()
        keep(stack, lambda: len(running(settings)) == 3)
        before = running(settings)
        before[0].kill()
        keep(stack, lambda: len(running(settings)) == 3 and before[0] not in running(settings))
        psutil.Process(int((settings.home / "postgres/data/postmaster.pid").read_text().splitlines()[0])).kill()
        keep(stack, lambda: "PostgreSQL had ended: started again" in caplog.messages)
        with psycopg.connect(libpq_url(stack.dsn)) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    assert any("ended with exit code -9: starting it again" in message for message in caplog.messages)


def test_services_follow_the_server_to_another_port(settings: Settings) -> None:
    """When the killed server's port is taken, it comes back on another and the services are told."""
    with Stack(settings, port=None) as stack:
        stack.start_services()
        keep(stack, lambda: len(running(settings)) == 3)
        old, before = stack.dsn, running(settings)
        server = psutil.Process(int((settings.home / "postgres/data/postmaster.pid").read_text().splitlines()[0]))
        server.kill()
        server.wait()
        assert stack.database.server is not None
        with socket.create_server(("127.0.0.1", stack.database.server.port)):
            keep(stack, lambda: stack.dsn != old and len(running(settings)) == 3)
        assert {child.environ()["CHUNK_SYNC_DSN"] for child in running(settings)} == {stack.dsn}
        assert not any(child.is_running() for child in before)


def test_leftovers_of_a_killed_up_are_swept(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """What an `up` that was killed could not stop is stopped by the next one."""
    with Stack(settings, port=None) as stack:
        stack.start_services()
        keep(stack, lambda: len(running(settings)) == 3)
        left = running(settings)
        services_ = stack._services
        stack._services = []  # as after kill -9, where nothing tells the children
        noted = (settings.home / "up.sessions").read_text()
    (settings.home / "up.sessions").write_text(noted)
    assert all(process.is_running() for process in left)
    with Stack(settings, port=None):
        for service in services_:
            service.reap()
        assert not any(process.is_running() for process in left)
    assert caplog.messages == ["an earlier `up` was killed: stopping what it left behind"]


def test_restart_limit() -> None:
    """Five deaths within a minute are borne, with pauses that double; the sixth is not; old ones are forgotten."""
    limit = RestartLimit(deaths=5)
    assert [limit.pause(float(now)) for now in range(6)] == [0.5, 1, 2, 4, 8, None]
    limit = RestartLimit(deaths=5)
    assert [limit.pause(now * 20.0) for now in range(9)] == [0.5, 1, 2, 2, 2, 2, 2, 2, 2]


def test_service_that_does_not_stay_up(tmp_path: Path) -> None:
    """A service that dies again and again is given up, with the end of its log."""
    command = [sys.executable, "-c", "print('no such table'); raise SystemExit(3)"]
    service = Service("daemon", command, log=tmp_path / "daemon.log", environment=environment(), cwd=tmp_path)
    service.start()
    clock = itertools.count(0, 0.5)

    def look() -> float:
        service.reap()
        now = next(clock)
        service.check(now)
        return now

    with pytest.raises(ChunkSyncError, match=r"the daemon does not stay up \(exit code 3\)(.|\n)*no such table$"):
        deque(takewhile(lambda now: now < 60, iter(look, None)))
    assert len(service.sessions) == 6
    assert 15 <= next(clock) < 20


def test_long_log_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that has grown too long goes on from nothing; what it held is kept once."""
    monkeypatch.setattr(services, "_LOG_BYTES", 100)
    log = tmp_path / "daemon.log"
    command = [sys.executable, "-c", "import time; print('x' * 200, flush=True); time.sleep(600)"]
    service = Service("daemon", command, log=log, environment=environment(), cwd=tmp_path)
    service.start()
    try:
        deadline = time.monotonic() + 60
        while not log.with_suffix(".log.1").exists():
            assert time.monotonic() < deadline
            service.check(time.monotonic())
            time.sleep(0.01)
        assert log.with_suffix(".log.1").read_text() == "x" * 200 + "\n"
        assert log.read_text() == ""
    finally:
        psutil.Process(service.sessions[0]).kill()
        service.reap()


@contextmanager
def webserver(answer: dict[str, Any]) -> Iterator[str]:
    """Answer every GraphQL question in one way."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"data": {"workspaceOrError": answer}}).encode())

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def entry(status: str, location: dict[str, Any] | None) -> dict[str, Any]:
    """Write a workspace of one location."""
    return {"__typename": "Workspace", "locationEntries": [{"loadStatus": status, "locationOrLoadError": location}]}


UNREACHABLE = {"__typename": "PythonError", "className": "DagsterUserCodeUnreachableError", "message": "not yet"}


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        (True, entry("LOADED", {"__typename": "RepositoryLocation"})),
        (False, entry("LOADING", None)),
        (False, entry("LOADED", UNREACHABLE)),
        (False, {"__typename": "Workspace", "locationEntries": []}),
        (False, {"__typename": "PythonError"}),
    ],
)
def test_readiness(expected: bool, answer: dict[str, Any]) -> None:
    """Ready is when the definitions are loaded."""
    with webserver(answer) as url:
        assert definitions_loaded(url, timeout=60) == expected


def test_proxy_is_not_for_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is not asked about our own webserver."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    fresh = importlib.reload(webserver_module)
    with webserver(entry("LOADED", {"__typename": "RepositoryLocation"})) as url:
        assert fresh.definitions_loaded(url, timeout=60)


def test_nobody_answers() -> None:
    """Before the webserver listens it is not ready."""
    assert not definitions_loaded("http://127.0.0.1:1")


def test_definitions_that_do_not_load() -> None:
    """A mistake in the code is said at once, by its first line."""
    error = {"__typename": "PythonError", "className": "ImportError", "message": "\nImportError: no x\n\nStack"}
    with webserver(entry("LOADED", error)) as url, pytest.raises(ChunkSyncError, match=r"ImportError: no x$"):
        definitions_loaded(url, timeout=60)


def test_own_server_needs_nothing_of_ours(tmp_path: Path) -> None:
    """With CHUNK_SYNC_DSN no state folder and no server are made, and Dagster is sent to its schema."""
    yours = Settings.read({"CHUNK_SYNC_HOME": str(tmp_path / "home"), "CHUNK_SYNC_DSN": "postgres://app@db/mail"})
    with database(yours) as found:
        assert found.dsn == "postgresql+psycopg://app@db/mail"
        assert (
            found.dagster_dsn
            == "postgresql+psycopg2://app@db/mail?options=-csearch_path%3Ddagster%20-csynchronous_commit%3Doff"
        )
        assert not found.embedded
    assert not (tmp_path / "home").exists()
    both = {"CHUNK_SYNC_DSN": "postgres://app@db/mail", "CHUNK_SYNC_DAGSTER_DSN": "postgres://d@other/dagster"}
    with database(Settings.read(both)) as found:
        assert found.dagster_dsn == "postgresql+psycopg2://d@other/dagster"
