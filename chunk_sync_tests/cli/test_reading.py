"""Reading on the command line: attachments, messages, problems and search."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from chunk_sync.engine.convert import Conversion
from chunk_sync.mail.parse import ParseLimits
from chunk_sync.settings import PROJECT_ROOT, environment
from chunk_sync.store.database import Database
from chunk_sync_tests.cli.warm import run_warm
from chunk_sync_tests.e2e.installation import COMMAND
from chunk_sync_tests.factory import make_job, make_mailbox
from chunk_sync_tests.landed_mail import land_mail
from chunk_sync_tests.mail.poison import multipart

Cli = Callable[..., subprocess.CompletedProcess[str]]
PDF = b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n"
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nThe [bold]budget[/bold] \x1b[31mof\x07 spring\r\n"
LETTER = (
    b"From: Ann <ann@example.com>\r\nTo: bob@example.org\r\nSubject: =?utf-8?Q?[red]Hi=1B[2J?=\r\n"
    b"MIME-Version: 1.0\r\n" + multipart(TEXT, PDF, PDF.replace(b"a.pdf", b"/etc/[x].pdf"))
)
SHA256 = hashlib.sha256(b"%PDF").hexdigest()[:16]


@pytest.fixture
def cli(database: Database, tmp_path: Path) -> Cli:
    """Run a command against a database of ours, in the test's folder."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words],
            env=environment()
            | {"CHUNK_SYNC_DSN": database.dsn, "CHUNK_SYNC_HOME": str(tmp_path / "home"), "TZ": "UTC"}
            | {"PYTHONPATH": str(PROJECT_ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def letter(database: Database) -> str:
    """A letter with two attachments; its number."""
    land_mail(database, [LETTER])
    return str(database.execute("SELECT id FROM messages")[0]["id"])


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that was refused."""
    (line,) = done.stderr.strip().splitlines()
    assert (2, "") == (done.returncode, done.stdout)
    return line


def test_attachments_are_listed_and_saved(cli: Cli, letter: str, tmp_path: Path) -> None:
    """By its part, under its own name, in this folder; a file that is there is overwritten when that is said."""
    listed = cli("attachment", "list", letter).stdout
    assert re.search(rf"2 .*a\.pdf .*application/pdf .*4 .*attached .*{SHA256}", listed), listed
    assert "[x].pdf" in listed
    assert 0 == cli("attachment", "save", letter, "2").returncode
    assert b"%PDF" == (tmp_path / "a.pdf").read_bytes()
    (tmp_path / "a.pdf").write_text("mine")
    assert "a.pdf is there already: name another file with -o, or say --force" in refused(
        cli("attachment", "save", letter, "2")
    )
    assert "mine" == (tmp_path / "a.pdf").read_text()
    assert 0 == cli("attachment", "save", letter, "2", "--force").returncode
    assert b"%PDF" == (tmp_path / "a.pdf").read_bytes()
    assert "saved [x].pdf (4 bytes" in cli("attachment", "save", letter, "3").stdout
    assert 0 == cli("attachment", "save", letter, "3", "-o", "other").returncode
    assert {"[x].pdf", "a.pdf", "other"} == {path.name for path in tmp_path.iterdir() if path.is_file()}


def test_a_link_in_the_way_is_not_followed(cli: Cli, letter: str, tmp_path: Path) -> None:
    """A name that leads elsewhere is a file that is there."""
    (tmp_path / "a.pdf").symlink_to(tmp_path / "elsewhere")
    assert "a.pdf is there already" in refused(cli("attachment", "save", letter, "2"))
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["attachment", "list", "4711"], "no message 4711: its number is `id` in the view emails"),
        (["attachment", "save", "{id}", "9"], "has no attachment 9; there are: 2, 3"),
        (["attachment", "save", "{id}", "2", "-o", "no/where"], "no/where cannot be written: No such file"),
        (["message", "show", "4711"], "no message 4711"),
        (["message", "show", "4711", "--raw"], "no message 4711"),
        (["problems", "nope"], "no mailbox 'nope'"),
        (["search", "find", "x", "--mailbox", "nope"], "no mailbox 'nope'"),
        (["search", "find", "x"], "search is off: turn it on with `./chunk-sync search on`"),
    ],
)
def test_mistakes_get_one_clear_line(cli: Cli, letter: str, words: list[str], expected: str) -> None:
    """Bad input says what to do."""
    assert expected in refused(cli(*(word.format(id=letter) for word in words)))


def test_bytes_that_were_not_kept_and_damaged_ones(cli: Cli, database: Database) -> None:
    """Not kept is a matter of the setting, damaged is a fault: exit codes 2 and 1."""
    land_mail(database, [LETTER], conversion=Conversion(None, ParseLimits()))
    (row,) = database.execute("SELECT id FROM messages")
    assert "CHUNK_SYNC_RAW=off was set" in refused(cli("attachment", "save", str(row["id"]), "2"))
    assert "CHUNK_SYNC_RAW=off was set" in refused(cli("message", "show", str(row["id"]), "--raw"))
    database.execute("UPDATE message_raw SET codec = 'none', data = 'x'")
    done = cli("attachment", "save", str(row["id"]), "2")
    assert (1, True) == (done.returncode, "gone or damaged" in done.stderr)


def test_a_message_is_shown_without_what_a_terminal_would_obey(cli: Cli, letter: str) -> None:
    """Its fields and text: no escape sequence goes through, and brackets are brackets."""
    shown = cli("message", "show", letter).stdout
    assert "from: Ann <ann@example.com>\nto: bob@example.org\nsubject: [red]Hi\ufffd[2J\nattachments: 2\n" in shown
    assert "The [bold]budget[/bold] \ufffd[31mof\ufffd spring" in shown
    assert "mailbox: box: INBOX\nreceived: 2026-01-01 00:00\n" in shown


def test_the_exact_bytes_come_out(database: Database, letter: str, tmp_path: Path) -> None:
    """Byte for byte, for a file or a pipe."""
    done = subprocess.run(
        [*COMMAND, "message", "show", letter, "--raw"],
        env=environment() | {"CHUNK_SYNC_DSN": database.dsn, "CHUNK_SYNC_HOME": str(tmp_path / "home")},
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        timeout=120,
        check=True,
    )
    assert LETTER == done.stdout


def test_problems_are_listed(cli: Cli, database: Database) -> None:
    """Ids, place, kind and reasons, and how many there are of each kind."""
    assert "everything that landed could be read" in cli("problems").stdout
    land_mail(database, [b"Subject: private\r\nDate: never\r\n\r\nx", b"\r\nx", None], name="one")
    land_mail(database, [b"Subject: private\r\nDate: never\r\n\r\ny"] * 2, name="two")
    shown = cli("problems").stdout
    assert "1 unparsable, 2 defective, 1 quarantined\n" in shown
    assert re.search(r"- +\S? *one .*INBOX .*3 .*quarantined .*larger than", shown), shown
    assert re.search(r"two .*INBOX .*1 .*defective .*bad-date", shown), shown
    assert "private" not in shown
    of_one = cli("problems", "one", "--limit", "1").stdout
    assert "1 unparsable, 1 defective, 1 quarantined (1 of 3 are shown)" in of_one


def test_search_is_turned_on_used_and_turned_off(cli: Cli, letter: str) -> None:
    """What landed before can be found, harmless for a terminal; off again it cannot."""
    assert "search is on: 1 messages can be found" in cli("search", "on").stdout
    found = cli("search", "find", "budget spring").stdout
    assert "Ann <ann@example.com>" in found
    assert "[red]Hi\ufffd[2J" in found
    assert "nothing was found" in cli("search", "find", "winter").stdout
    assert "nothing was found" in cli("search", "find", "budget", "--tenant", "acme").stdout
    assert "Ann" in cli("search", "find", "budget", "--mailbox", "box").stdout
    assert "search is off\n" == cli("search", "off").stdout
    assert "search was off already\n" == cli("search", "off").stdout
    assert "search is off" in refused(cli("search", "find", "budget"))


def test_status_says_what_a_plan_has_changed(database: Database, tmp_path: Path) -> None:
    """Flags and deletions are done with the plan, and stand below the table and in its JSON."""
    make_job(database, make_mailbox(database))
    variables = {"CHUNK_SYNC_DSN": database.dsn}
    assert "changed flags" not in run_warm(tmp_path / "home", "status", variables=variables).stdout
    database.execute("UPDATE sync_job_folders SET flags_changed = 1200, vanished = 3")
    shown = run_warm(tmp_path / "home", "status", variables=variables).stdout
    assert "#1 plan: 1,200 messages changed flags, 3 vanished" in shown
    told = run_warm(tmp_path / "home", "status", "--json", variables=variables).stdout
    assert re.search(r'"flags_changed": 1200,\s+"vanished": 3,', told)
