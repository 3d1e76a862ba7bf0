"""`metrics` as Prometheus meets it: a text that its own parser reads, one read for all who ask, always an answer."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from chunk_sync.cli.live import serving
from chunk_sync.cli.prometheus import exposition
from chunk_sync.cli.readings import Reading, Readings
from chunk_sync.errors import UsageError
from chunk_sync.store.database import Database
from chunk_sync.store.live import LiveStatus, live_status
from chunk_sync.store.metrics import PATIENCE_SECONDS, Sample, hurry, read_samples
from chunk_sync_tests.cli.monitor import address, get, gone, running
from chunk_sync_tests.cli.warm import run_warm
from chunk_sync_tests.factory import claim, complete, make_job, make_mailbox, open_worker
from chunk_sync_tests.postgres_plugin import PgServer
from chunk_sync_tests.servers.process import wait_until

STRANGE = 'a "box" \\ with\nlines {and="braces"} ünicode'
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def metric(text: str, name: str) -> dict[tuple[str, ...], float]:
    """A metric's values by those of its labels, as Prometheus reads the text."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in parse(text)
        for sample in family.samples
        if sample.name == name
    }


def test_the_text_is_what_prometheus_reads(database: Database) -> None:
    """Both formats are parsed by its own parser and say the same; any name of a mailbox survives."""
    job = make_job(database, make_mailbox(database, STRANGE), chunks=3)
    complete(database, claim(database, job, open_worker(database))[0])
    samples = Reading(read_samples(database))
    text, kind = exposition(lambda: samples)
    assert "text/plain; version=0.0.4; charset=utf-8" == kind
    assert {("pending",): 2, ("completed",): 1} == {
        (status,): value for (_, status, _), value in metric(text.decode(), "chunk_sync_chunks").items() if value
    }
    families = {family.name: family for family in parse(text.decode())}
    assert {STRANGE} == {sample.labels["mailbox"] for sample in families["chunk_sync_due_chunks"].samples}
    assert {"counter", "gauge"} == {family.type for family in families.values()}
    assert all(family.documentation for family in families.values())
    open_text, open_kind = exposition(lambda: samples, OPENMETRICS)
    assert open_kind.startswith("application/openmetrics-text; version=1.0.0")

    def told(found: object) -> set[tuple[str, str, float]]:
        return {(s.name, str(sorted(s.labels.items())), s.value) for family in found for s in family.samples}

    assert told(parse(text.decode())) == told(parse_openmetrics(open_text.decode()))


def test_nonsense_for_a_format_gets_the_plain_one() -> None:
    """A version that is no number is no error."""
    _, kind = exposition(lambda: Reading(None, "away"), "application/openmetrics-text; version=x")
    assert "text/plain; version=0.0.4; charset=utf-8" == kind


def test_it_serves_until_a_signal_comes_while_the_database_comes_and_goes(
    database: Database, pg_server: PgServer, tmp_path: Path
) -> None:
    """Without the database there is `chunk_sync_up 0` and no stale number; when it is back all is there again."""
    make_job(database, make_mailbox(database), chunks=3)
    with running(database, tmp_path, "metrics", "--port", "0") as command:
        with gone(pg_server, database):
            url = address(command)
            down = get(f"{url}/metrics")
            assert [("chunk_sync_up", 0)] == [(s.name, s.value) for family in parse(down) for s in family.samples]
            assert "is not currently accepting connections" in command.line()
        assert wait_until(lambda: metric(get(f"{url}/metrics"), "chunk_sync_up") == {(): 1.0}, 120)
        up = get(f"{url}/metrics")
        assert 3 == sum(metric(up, "chunk_sync_due_chunks").values())
        assert "the database answers again" == command.line()
        assert "box" == json.loads(get(f"{url}/status.json"))["jobs"][0]["mailbox"]
        with gone(pg_server, database):
            assert wait_until(lambda: json.loads(get(f"{url}/status.json"))["error"], 120)
            assert {"at", "error"} == json.loads(get(f"{url}/status.json")).keys()
        assert (0, []) == command.end()


def test_once_prints_and_leaves(database: Database, tmp_path: Path) -> None:
    """Without a database the text says so, and so does the exit code; a schema that is not ours is named."""
    done = run_warm(tmp_path, "metrics", "--once", variables={"CHUNK_SYNC_DSN": database.dsn})
    assert (0, {(): 1.0}) == (done.returncode, metric(done.stdout, "chunk_sync_up"))
    nowhere = run_warm(
        tmp_path, "metrics", "--once", variables={"CHUNK_SYNC_DSN": "postgresql://u:geheim@127.0.0.1:1/x"}
    )
    assert (1, {(): 0.0}) == (nowhere.returncode, metric(nowhere.stdout, "chunk_sync_up"))
    assert "geheim" not in nowhere.stdout + nowhere.stderr


def test_two_scrapers_at_once_cost_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one reads the others wait for its result; it is kept for as long as ten readings take."""
    monkeypatch.setattr("chunk_sync.cli.readings._PATIENCE_SECONDS", 60.0)
    reads, together = [], threading.Barrier(3)

    def read() -> int:
        reads.append(1)
        return len(reads)

    readings = Readings(read, seconds=60, report=str)

    def scrape() -> int | None:
        together.wait()
        return readings.get().value

    with ThreadPoolExecutor(3) as scrapers:
        assert [1, 1, 1] == [one.result() for one in [scrapers.submit(scrape) for _ in range(3)]]
    assert 1 == len(reads)


def test_a_reading_is_kept_ten_times_as_long_as_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often somebody asks: at most a tenth of the time is spent reading."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def read() -> float:
        now[0] += 2
        return now[0]

    readings = Readings(read, seconds=5, report=str)
    assert 2 == readings.get().value
    now[0] += 19
    assert 2 == readings.get().value
    now[0] += 2
    assert 25 == readings.get().value


def test_scrapers_do_not_wait_for_a_database_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who would have to wait longer than Prometheus does hears that nothing is known."""
    monkeypatch.setattr("chunk_sync.cli.readings._PATIENCE_SECONDS", 0.01)
    begun, over = threading.Event(), threading.Event()

    def read() -> int:
        begun.set()
        over.wait(60)
        return 1

    readings = Readings(read, seconds=60, report=str)
    with ThreadPoolExecutor(1) as scraper:
        first = scraper.submit(readings.get)
        assert begun.wait(60)
        assert (None, "the database does not answer") == (readings.get().value, readings.get().error)
        over.set()
        assert 1 == first.result().value


def test_reading_changes_nothing_and_is_broken_off(database: Database) -> None:
    """What only looks cannot write, and has five seconds."""
    with database.transaction() as conn:
        hurry(conn)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), conn.transaction():
            conn.execute("DELETE FROM tenants")
        assert [{"statement_timeout": f"{PATIENCE_SECONDS}s"}] == conn.execute("SHOW statement_timeout").fetchall()
    assert [{"statement_timeout": "0"}] == database.execute("SHOW statement_timeout")


TOO_LONG = """
CREATE FUNCTION too_long() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    IF current_setting('statement_timeout') = '77s' THEN
        RAISE query_canceled USING MESSAGE = 'canceling statement due to statement timeout';
    END IF;
END $$"""
"""Ends as a statement does whose time is up, where there is a limit: no test need sit it out."""


def test_alerts_that_take_too_long_are_left_out(
    database: Database, owner: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All other numbers are there all the same, and people are told."""
    monkeypatch.setattr("chunk_sync.store.metrics.PATIENCE_SECONDS", 77)
    assert "chunk_sync_alerts" in {sample.name for sample in read_samples(database)}
    owner.execute("ALTER VIEW health_alerts RENAME TO real_alerts")
    owner.execute(TOO_LONG)
    owner.execute(
        "CREATE VIEW health_alerts WITH (security_invoker = true) AS WITH slow AS MATERIALIZED (SELECT too_long())"
        " SELECT r.* FROM slow LEFT JOIN real_alerts AS r ON true"
    )
    owner.execute("GRANT SELECT ON health_alerts TO chunk_sync_app")
    owner.execute("GRANT EXECUTE ON FUNCTION too_long TO chunk_sync_app")
    names = {sample.name for sample in read_samples(database)}
    assert ("chunk_sync_workers" in names, "chunk_sync_alerts" in names) == (True, False)
    assert ["unknown"] == [alert.signal for alert in live_status(database).alerts]


def test_paths_headers_and_a_port_that_is_taken(database: Database) -> None:
    """Three paths and no other, by GET and HEAD; nothing is kept by a browser; a taken port is said in one line."""
    sample = Sample("chunk_sync_x", "gauge", "x", {}, 1)
    live = live_status(database)
    with serving("127.0.0.1", 0, lambda a: exposition(lambda: Reading([sample]), a), lambda: Reading(live)) as port:
        url = f"http://127.0.0.1:{port}"
        for path, kind in (("/", "text/html"), ("/metrics", "text/plain"), ("/status.json?x", "application/json")):
            request = urllib.request.Request(url + path, method="HEAD")
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert ("no-store", "nosniff") == (
                    answer.headers["Cache-Control"],
                    answer.headers["X-Content-Type-Options"],
                )
                assert answer.headers["Content-Type"].startswith(kind)
                assert b"" == answer.read()
            assert int(answer.headers["Content-Length"]) == len(get(url + path).encode()) or path == "/metrics"
        for method, path, code in (("GET", "/etc/passwd", 404), ("POST", "/metrics", 501)):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(url + path, method=method), timeout=60)
            assert code == refused.value.code
            refused.value.close()
        with (
            pytest.raises(UsageError, match=r"cannot serve at 127\.0\.0\.1:\d+: .*in use; choose another with --port"),
            serving("127.0.0.1", port, lambda a: exposition(lambda: Reading([sample]), a), lambda: Reading(live)),
        ):
            pass


def test_a_silent_client_keeps_nobody_waiting(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that says nothing has a thread of its own; others are answered while it lasts."""
    monkeypatch.setattr("chunk_sync.cli.live._Handler.timeout", 600.0)
    live = live_status(database)
    with (
        serving("127.0.0.1", 0, lambda _: (b"", "text/plain"), lambda: Reading(live)) as port,
        socket.create_connection(("127.0.0.1", port)),
    ):
        assert live.waiting == json.loads(get(f"http://127.0.0.1:{port}/status.json"))["waiting"]


def test_it_ends_after_the_answers_that_it_began(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing reads on when the server is gone: its caller closes the database next."""
    monkeypatch.setattr("chunk_sync.cli.live._LAST_ANSWERS_SECONDS", 60.0)
    live = live_status(database)
    asked, ended = threading.Event(), threading.Event()

    def slow() -> Reading[LiveStatus]:
        asked.set()
        time.sleep(0.3)
        ended.set()
        return Reading(live)

    with ThreadPoolExecutor(1) as pool:
        with serving("127.0.0.1", 0, lambda _: (b"", "text/plain"), slow) as port:
            told = pool.submit(get, f"http://127.0.0.1:{port}/status.json")
            assert asked.wait(60)
        assert ended.is_set()
        assert live.waiting == json.loads(told.result())["waiting"]
