"""`alert …` and `deadman` as a user meets them: what they print, their exit codes, what they leave in the audit log."""

from __future__ import annotations

import getpass
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chunk_sync.alerts.evaluate import evaluate
from chunk_sync.cli.main import main
from chunk_sync.settings import PROJECT_ROOT, environment
from chunk_sync.store.database import Database
from chunk_sync_tests.alerts.receivers import http_sink
from chunk_sync_tests.e2e.installation import COMMAND

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Said:
    """Run a command in this process: exit code, output and errors."""
    monkeypatch.setenv("CHUNK_SYNC_DSN", database.dsn)
    monkeypatch.setenv("CHUNK_SYNC_HOME", str(tmp_path / "home"))

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["chunk-sync", *words])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return code, printed.out.strip(), printed.err.strip()

    return run


def alarm(database: Database) -> None:
    """Open an alert."""
    database.execute(
        "INSERT INTO sla_states (tenant_id, objective, state, message) VALUES (1, 'freshness', 'broken', 'late')"
    )
    evaluate(database)


def audited(database: Database) -> list[tuple[str, str, dict[str, object]]]:
    """What the audit log says: action, reason, details; always of the login."""
    rows = database.execute("SELECT actor, action, reason, details FROM audit_log ORDER BY id")
    assert {f"{getpass.getuser()} (cli)"} == {row["actor"] for row in rows}
    return [(row["action"], row["reason"], row["details"]) for row in rows]


def test_a_route_from_its_first_to_its_last_day(
    database: Database, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Added, listed, tried while it works and while it does not, removed; each act is audited, the URL nowhere."""
    assert (0, "no route: alerts are kept, nobody is told; add one with ./chunk-sync alert route add", "") == said(
        "alert", "route", "list"
    )
    with http_sink() as hook:
        monkeypatch.setenv("HOOK", hook.url)
        words = ("--to", "env:HOOK", "--level", "critical", "--tenant", "default", "--repeat", "1h")
        added = said("alert", "route", "add", "ops", *words, "--reason", "new team")
        assert (0, "added route ops; next: ./chunk-sync alert route test ops", "") == added
        _, listed, _ = said("alert", "route", "list")
        (line,) = [line for line in listed.splitlines() if "env:HOOK" in line]
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        assert ["ops", "default", "critical", "env:HOOK", "20", "1 h", "0", "0", "0", "0"] == cells
        assert (0, "route ops: the message was accepted", "") == said("alert", "route", "test", "ops")
        assert ["chunk_sync test of the route ops"] == hook.titles
        hook.answers = [401]
        code, refused, _ = said("alert", "route", "test", "ops")
        assert 1 == code
        assert refused.startswith("route ops: the message did not arrive: ")
        assert "401" in refused
    monkeypatch.delenv("HOOK")
    code, gone, _ = said("alert", "route", "test", "ops")
    assert (1, True) == (code, "the environment variable HOOK" in gone)
    assert (0, "removed route ops", "") == said("alert", "route", "remove", "ops")
    actions = [(action, reason, details["route"]) for action, reason, details in audited(database)]
    assert ("alert_route_added", "new team", "ops") == actions[0]
    assert [("alert_route_tested", "by hand", "ops")] * 3 == actions[1:4]
    assert ("alert_route_removed", "by hand", "ops") == actions[4]
    kept = json.dumps([*audited(database), refused, gone])
    assert "geheim" not in kept
    assert "token-77" not in kept


def test_an_alert_is_listed_acknowledged_and_silenced(database: Database, said: Said) -> None:
    """What is open, what became of its messages, who looks after it, and what is silent."""
    assert (0, "no alert is open", "") == said("alert", "list")
    said("alert", "route", "add", "ops", "--to", "env:NOT_SET")
    alarm(database)
    number = database.execute("SELECT id FROM alerts")[0]["id"]
    _, listed, _ = said("alert", "list")
    assert all(word in listed for word in ("critical", "sla_broken", "default", "1 waiting", "open"))
    assert (0, f"alert {number} (sla_broken) is acknowledged", "") == said(
        "alert", "ack", str(number), "--reason", "mine"
    )
    code, silenced, _ = said("alert", "silence", "--for", "2h", "--signal", "sla_broken", "--tenant", "default")
    assert (0, True) == (code, silenced.startswith("silence 1 until "))
    _, listed, _ = said("alert", "list")
    assert f"acknowledged by {getpass.getuser()}" in " ".join(listed.replace("│", " ").split())
    assert "silence 1: sla_broken of default, until " in listed
    assert (0, "silence 1 is over", "") == said("alert", "unsilence", "1")
    assert "silence" not in said("alert", "list")[1]
    database.execute("UPDATE alerts SET resolved_at = clock()")
    assert "no alert is open" == said("alert", "list")[1]
    assert "over since" in said("alert", "list", "--all")[1]
    assert ["alert_route_added", "alert_acknowledged", "alerts_silenced", "silence_ended"] == [
        action for action, _, _ in audited(database)
    ]


def test_a_url_that_is_typed_is_sealed(database: Database, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for, and in the database it is a cipher; what apprise does not know is refused."""
    with http_sink() as hook:
        monkeypatch.setattr("chunk_sync.cli.alert.is_terminal", lambda: True)
        monkeypatch.setattr("getpass.getpass", lambda _: hook.url)
        assert 0 == said("alert", "route", "add", "ops")[0]
        (row,) = database.execute("SELECT target FROM alert_routes")
        assert row["target"].startswith("sealed:")
        assert "geheim" not in row["target"]
        assert "sealed" in said("alert", "route", "list")[1]
        assert 0 == said("alert", "route", "test", "ops")[0]
    monkeypatch.setattr("getpass.getpass", lambda _: "geheim-99")
    code, _, error = said("alert", "route", "add", "other")
    assert (2, True) == (code, error.startswith("error: apprise does not know that URL"))
    assert "geheim" not in error


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ack", "7"), "there is no open alert 7: `./chunk-sync alert list` shows them"),
        (("silence", "--for", "soon"), "'soon' is not an interval"),
        (("silence", "--for", "never"), "--for never: say how long, such as 30m, 2h or 1d"),
        (("silence", "--for", "1h", "--tenant", "nobody"), "there is no tenant 'nobody'"),
        (("unsilence", "7"), "there is no silence 7 that is not over"),
        (("route", "add", "x", "--to", "json://ann:geheim@host"), "a URL on the command line is no secret any more"),
        (("route", "add", "x", "--to", "env:"), "a URL on the command line is no secret any more"),
        (("route", "add", "x"), "no terminal to ask for the URL: give --to env:NAME or --to file:PATH"),
        (("route", "add", "x", "--to", "env:X", "--level", "bad"), "'bad' is no level: say warn or critical"),
        (("route", "add", "x", "--to", "env:X", "--repeat", "5s"), "--repeat 5s: give 1m or more, or never"),
        (("route", "add", "x", "--to", "env:X", "--tenant", "no"), "there is no tenant 'no'"),
        (("route", "remove", "x"), "there is no route 'x': `./chunk-sync alert route list` says what there is"),
        (("route", "test", "x"), "there is no route 'x': `./chunk-sync alert route list` says what there is"),
    ],
)
def test_mistakes_get_one_clear_line(database: Database, said: Said, words: tuple[str, ...], expected: str) -> None:
    """It says what to do, repeats no secret, and nothing is stored."""
    code, printed, error = said("alert", *words)
    assert (2, "") == (code, printed)
    assert error.startswith(f"error: {expected}"), error
    assert 1 == len(error.splitlines())
    assert "geheim" not in error
    assert [{"n": 0}] == database.execute("SELECT count(*) AS n FROM audit_log")


def test_a_name_is_taken_once(said: Said) -> None:
    """A second route of a name is refused."""
    said("alert", "route", "add", "ops", "--to", "env:X")
    code, _, error = said("alert", "route", "add", "ops", "--to", "env:X")
    assert (2, "error: there is a route 'ops' already: choose another name, or remove it first") == (code, error)


def test_the_switch_looks_once(database: Database, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 while somebody looks at alerts, 1 when nobody does; the URL hears of it once, and of its end."""
    with http_sink() as hook:
        monkeypatch.setenv("CHUNK_SYNC_DEADMAN_URL", hook.url)
        evaluate(database)
        code, line, _ = said("deadman", "--once")
        assert (0, True) == (code, bool(re.fullmatch(r"alive, the last sign was \d+ s ago", line)))
        database.execute("UPDATE alert_pulse SET at = clock() - interval '20 min'")
        assert (1, "no sign of life, the last sign was 20 min ago; told", "") == said("deadman", "--once")
        assert (1, "no sign of life, the last sign was 20 min ago", "") == said("deadman", "--once")
        assert 0 == said("deadman", "--once", "--after", "30m")[0]
        assert ["critical: system_silent", "resolved: system_silent"] == [
            title.removeprefix("chunk_sync ") for title in hook.titles
        ]


def test_the_switch_without_a_database(said: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a server that is down nor an embedded one that nobody made is started: it says so, and alarms in time."""
    with http_sink() as hook:
        monkeypatch.setenv("CHUNK_SYNC_DEADMAN_URL", hook.url)
        monkeypatch.setenv("CHUNK_SYNC_DSN", "postgresql://u:geheim@127.0.0.1:1/none")
        code, line, _ = said("deadman", "--once")
        assert (1, True) == (code, line.startswith("alive, and the database does not answer: cannot use PostgreSQL at"))
        assert [] == hook.titles
        memory = tmp_path / "home" / "deadman.json"
        memory.write_text(json.dumps({"alive_at": "2026-01-01T00:00:00+00:00", "told_since": None}))
        monkeypatch.setenv("CHUNK_SYNC_DSN", "")
        code, line, _ = said("deadman", "--once")
        assert (1, True) == (
            code,
            line.startswith("no sign of life, and the database does not answer: there is none in"),
        )
        assert ["chunk_sync critical: system_silent"] == hook.titles
        assert not (tmp_path / "home" / "postgres").exists()


@pytest.mark.parametrize("after", ["never", "30s", "soon"])
def test_a_switch_that_is_too_quick(said: Said, after: str) -> None:
    """It would alarm between two looks."""
    code, _, error = said("deadman", "--once", "--after", after)
    assert (2, 1) == (code, len(error.splitlines()))


def test_the_switch_runs_until_it_is_stopped(database: Database, tmp_path: Path) -> None:
    """As a process of its own, which SIGTERM ends with 0."""
    evaluate(database)
    environ = environment() | {"CHUNK_SYNC_DSN": database.dsn, "CHUNK_SYNC_HOME": str(tmp_path)}
    with subprocess.Popen([*COMMAND, "deadman"], env=environ, cwd=PROJECT_ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"alive\n" == process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert b"stopping\n" == process.stdout.read()
    assert 0 == process.returncode
