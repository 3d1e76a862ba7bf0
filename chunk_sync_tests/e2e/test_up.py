"""`up` on a machine with nothing but Python: the demo, its exit codes, and how it ends. Needs no tools."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from chunk_sync.demo.maildir import demo_maildir
from chunk_sync_tests.e2e.installation import Installation, run_cli
from chunk_sync_tests.postgres_plugin import scratch_folder


@pytest.fixture
def home() -> Iterator[Path]:
    """A state folder that root's database user can reach."""
    with scratch_folder() as folder:
        yield folder / "home"


def test_the_demo_until_done(home: Path) -> None:
    """`up --demo --until-done` syncs the demo mailbox, says so, stops everything and exits with 0.

    A second time it finds the mailbox in step; the data is still there, equal message by message.
    """
    first = run_cli(home, "up", "--demo", "--until-done", "--demo-messages", "300")
    assert 0 == first.returncode, first.stdout + first.stderr
    assert "demo #1 completed: 300 of 300 messages" in first.stdout
    assert re.search(r"chunk_sync is up after [\d.]+ s: http://127.0.0.1:3\d{3}", first.stdout)
    second = run_cli(home, "up", "--demo", "--until-done", "--demo-messages", "310")
    assert 0 == second.returncode, second.stdout + second.stderr
    assert "demo #2 completed: 10 of 10 messages" in second.stdout
    verified = run_cli(home, "verify", "demo")
    assert (0, True) == (verified.returncode, "equal: 310 messages" in verified.stdout)


@pytest.mark.usefixtures("hangups")
def test_signals_leave_nothing_behind_and_a_failed_sync_is_an_exit_code(home: Path, tmp_path: Path) -> None:
    """Ctrl-C and a closed terminal end `up` and everything it started; SIGTERM is how all other tests end.

    A mailbox that is gone when its sync is planned: the job fails, and `--until-done` exits with 1.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        installation = Installation(home)
        installation.start()
        installation.database.close()
        assert 0 == installation.stop(number)
    demo_maildir(tmp_path / "mail", 20)
    added = run_cli(home, "mailbox", "add", f"maildir:{tmp_path / 'mail'}", "--name", "gone")
    assert 0 == added.returncode, added.stderr
    shutil.rmtree(tmp_path / "mail")
    run_cli(home, "sync", "gone")
    done = run_cli(home, "up", "--until-done")
    assert 1 == done.returncode, done.stdout + done.stderr
    assert "gone #1 failed" in done.stdout
    assert "not_found" in run_cli(home, "status").stdout
