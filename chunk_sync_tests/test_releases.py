"""The archives of released versions: that there are enough of them, that they are genuine, that they can be driven."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chunk_sync import __version__
from chunk_sync.demo.mailbox import iter_messages
from chunk_sync.settings import PROJECT_ROOT
from chunk_sync.store.database import Database
from chunk_sync_tests.new_code import NewCode
from chunk_sync_tests.releases import archived_files, half_done_maildir, parsed, released_versions, this_code


def test_every_older_version_has_an_archive() -> None:
    """Every version in the changelog that is older than this one can be upgraded from, and is tested.

    This version itself gets its archive when it is released; nothing can differ before the next one begins.
    """
    listed = re.findall(r"^## \[(\d[^\]]*)\]", (PROJECT_ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert __version__ in listed
    older = {version for version in listed if parsed(version) < parsed(__version__)}
    assert set() == older - set(released_versions())


@pytest.mark.parametrize("version", released_versions())
def test_released_migrations_are_as_they_were(version: str) -> None:
    """An archive is the version that it is named after, and its migrations are still here, byte for byte."""
    read = archived_files(version)
    assert f'__version__ = "{version}"' in read["chunk_sync/__init__.py"].decode()
    released = {name: text for name, text in read.items() if name.startswith("sql/migrations/")}
    assert released == {name: (PROJECT_ROOT / name).read_bytes() for name in released}


def test_the_driver_fits_this_code(empty_database: Database, tmp_path: Path) -> None:
    """What drives releases drives this code too: when this fails, write releases/driver_VERSION.py for the new one."""
    half_done_maildir(tmp_path / "half", iter_messages(12))
    with this_code().running(empty_database.dsn, tmp_path) as this:
        this("migrate")
        this("check")
        this("mailbox", "half", f"maildir:{tmp_path / 'half'}")
        job = this("request", "half")
        this("plan", job)
        this("hold", job)
        assert this("heartbeat")
        this("land")
        this("recover", "lost-run")
        this("run", "rest", job, [0, 3, 4, 5])
    assert [] == NewCode(empty_database, tmp_path).wrong("half")
