"""The command line as a user meets it: what it prints, its exit codes, and one clear line for every mistake."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from chunk_sync.demo.maildir import demo_maildir
from chunk_sync.store.database import Database, sql_folder
from chunk_sync_tests.cli.warm import run_warm
from chunk_sync_tests.e2e.installation import run_cli
from chunk_sync_tests.factory import claim, complete, make_job, make_mailbox, open_worker
from chunk_sync_tests.servers.pymap import PymapServer

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(database: Database, tmp_path: Path) -> Cli:
    """Run a command against a database of ours."""

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return run_warm(tmp_path / "home", *words, variables={"CHUNK_SYNC_DSN": database.dsn} | variables)

    return run


def one_error_line(done: subprocess.CompletedProcess[str]) -> str:
    """The command failed with exactly one line, and nothing else came out."""
    assert 2 == done.returncode
    assert "" == done.stdout
    lines = done.stderr.strip().splitlines()
    assert 1 == len(lines), done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["mailbox", "add", "http://x/"], "a mailbox address looks like imaps://user@host/"),
        (["mailbox", "add", "imaps://ann:geheim@host/"], "do not write the password into the address"),
        (["mailbox", "add", "imaps://host/"], "names no user"),
        (["mailbox", "add", "imaps://ann@host:99999/"], "port is not a number from 1 to 65535"),
        (["mailbox", "add", "maildir:/nope"], "there is nothing at this path"),
        (["mailbox", "add", "imaps://ann@host/"], "give --password-env NAME or --password-file PATH"),
        (["mailbox", "add", "imaps://ann@host/", "--password-file", "/nope"], "/nope cannot be read"),
        (["mailbox", "add", "imaps://ann@host/", "--password-env", "NOT_SET"], "NOT_SET, which holds the password"),
        (["mailbox", "add", "imap://ann@127.0.0.1:1/", "--password-env", "PATH"], "Connection refused; check the host"),
        (["mailbox", "add", "imaps://ann@nosuch.invalid/", "--password-env", "PATH"], "could not be reached"),
        (["sync", "nope"], "no mailbox 'nope'; add one with `./chunk-sync mailbox add`"),
        (["verify", "nope"], "no mailbox 'nope'"),
        (["status", "nope"], "no mailbox 'nope'"),
    ],
)
def test_mistakes_get_one_clear_line(cli: Cli, database: Database, words: list[str], expected: str) -> None:
    """Bad input says what to do, never repeats a password, and stores nothing."""
    line = one_error_line(cli(*words))
    assert expected in line
    assert "geheim" not in line
    assert [] == database.execute("SELECT * FROM mailboxes")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"CHUNK_SYNC_DSN": "postgresql://u:geheim@127.0.0.1:1/x"}, "Connection refused; check CHUNK_SYNC_DSN"),
        ({"CHUNK_SYNC_DSN": "nonsense"}, "is not a PostgreSQL URL: write it as postgresql://"),
        ({"CHUNK_SYNC_LEASE_SECONDS": "soon"}, "CHUNK_SYNC_LEASE_SECONDS='soon': give a number from 1 to 3600"),
        ({"CHUNK_SYNC_DSN": "", "CHUNK_SYNC_HOME": "/proc/nope"}, "make it writable, or set CHUNK_SYNC_HOME"),
    ],
)
def test_a_wrong_environment_gets_one_clear_line(tmp_path: Path, variables: dict[str, str], expected: str) -> None:
    """A DSN to nowhere, nonsense in a setting, a state folder that cannot be: one line each, without the password."""
    line = one_error_line(run_cli(tmp_path / "home", "status", variables=variables))
    assert expected in line
    assert "geheim" not in line


def test_a_schema_that_is_missing_names_the_command(empty_database: Database, tmp_path: Path) -> None:
    """Your own database is not migrated behind your back."""
    variables = {"CHUNK_SYNC_DSN": empty_database.dsn}
    done = run_cli(tmp_path / "home", "status", variables=variables)
    newest = len(list((sql_folder() / "migrations").iterdir()))
    assert (1, f"error: the database is at schema 0, this code needs {newest}: run `./chunk-sync migrate`\n") == (
        done.returncode,
        done.stderr,
    )
    assert (
        f"schema {newest}: applied {newest} migrations"
        in run_cli(tmp_path / "home", "migrate", variables=variables).stdout
    )
    assert "no sync was asked for yet" in run_cli(tmp_path / "home", "status", variables=variables).stdout


def test_a_mailbox_is_added_listed_and_requested(cli: Cli, database: Database, tmp_path: Path) -> None:
    """An archive needs no password; a second one of the same name is refused; a sync of it is a row."""
    demo_maildir(tmp_path / "mail", 20)
    added = cli("mailbox", "add", f"maildir:{tmp_path / 'mail'}", "--name", "old")
    assert (0, True) == (added.returncode, "added mailbox old" in added.stdout)
    assert "there is a mailbox 'old' already" in one_error_line(
        cli("mailbox", "add", f"maildir:{tmp_path / 'mail'}", "--name", "old")
    )
    assert "no folder Nope; there are: INBOX" in one_error_line(
        cli("mailbox", "add", f"maildir:{tmp_path / 'mail'}", "--name", "two", "--folder", "Nope")
    )
    assert "old" in cli("mailbox", "list").stdout
    asked = cli("sync", "old", "--since", "2026-01-31", "--until", "2026-01-31", "--priority", "7", "--type", "manual")
    assert "(manual, priority 7)" in asked.stdout
    row = database.execute("SELECT sync_from::text AS f, sync_to::text AS t, priority, status::text FROM sync_jobs")[0]
    assert ("2026-01-31 00:00:00+00", "2026-02-01 00:00:00+00", 7, "requested") == tuple(row.values())


def test_passwords_are_kept_by_reference_or_sealed(cli: Cli, database: Database, tmp_path: Path) -> None:
    """A password from a file or a variable is never in the database; a wrong one stores no mailbox."""
    with PymapServer() as server:
        secret = tmp_path / "secret"
        secret.write_text(server.password + "\n")
        by_file = cli("mailbox", "add", server.address, "--name", "a", "--password-file", str(secret))
        assert 0 == by_file.returncode, by_file.stderr
        by_variable = cli("mailbox", "add", server.address, "--name", "b", "--password-env", "PW", PW=server.password)
        assert 0 == by_variable.returncode, by_variable.stderr
        wrong = one_error_line(cli("mailbox", "add", server.address, "--name", "c", "--password-env", "PW", PW="wrong"))
    assert "check the user name and the password" in wrong
    rows = database.execute("SELECT name, credential FROM mailboxes ORDER BY name")
    assert [("a", f"file:{secret}"), ("b", "env:PW")] == [tuple(row.values()) for row in rows]


def test_status_as_table_and_json(cli: Cli, database: Database) -> None:
    """The table shows landed of planned; JSON has the same for scripts."""
    job = make_job(database, make_mailbox(database), chunks=2)
    complete(database, claim(database, job, open_worker(database))[0])
    assert re.search(r"box +initial .*10 of 20 messages, 1 of 2 chunks", cli("status").stdout)
    parsed = json.loads(cli("status", "box", "--json").stdout)["jobs"]
    assert [("processing", 1, 10, 20)] == [
        (j["status"], j["completed_chunks"], j["emails_processed"], j["emails_estimated"]) for j in parsed
    ]


def test_verify_fails_when_mail_is_missing(cli: Cli, tmp_path: Path) -> None:
    """A mailbox that was never synced is different, with exit code 1 and the names of what is missing."""
    demo_maildir(tmp_path / "mail", 10)
    cli("mailbox", "add", f"maildir:{tmp_path / 'mail'}", "--name", "old")
    done = cli("verify", "old")
    assert (1, True) == (done.returncode, "missing in INBOX:" in done.stdout)


def test_psql_dsn_env_and_doctor(cli: Cli, database: Database) -> None:
    """The ways in: psql runs unqualified SQL, dsn and env print what others need, doctor finds nothing wrong."""
    assert "0" in cli("psql", "-c", "SELECT cleanup_stuck_chunks()").stdout
    assert 0 != cli("psql", "-c", "SELECT nonsense").returncode
    assert database.dsn.replace("+psycopg", "") == cli("dsn").stdout.strip()
    exported = cli("env").stdout
    assert {"CHUNK_SYNC_DSN", "CHUNK_SYNC_DAGSTER_DSN", "DAGSTER_HOME"} <= set(re.findall(r"export (\w+)=", exported))
    assert "postgresql+psycopg2://" in exported
    doctor = cli("doctor")
    assert 0 == doctor.returncode, doctor.stdout


def test_version_and_help() -> None:
    """Help names every command."""
    shown = run_cli(Path("/nowhere"), "--help").stdout
    commands = "up sync status verify problems mailbox message attachment search psql dsn env migrate doctor test"
    for command in commands.split():
        assert command in shown
    assert "chunk-sync 0.3.0\n" == run_cli(Path("/nowhere"), "--version").stdout
