"""What `doctor` looks at. Each check says what it found, and what to do when that is wrong."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

from chunk_sync.cli.session import Session, session
from chunk_sync.errors import ChunkSyncError
from chunk_sync.settings import Settings
from chunk_sync.store.database import check_server
from chunk_sync.store.isolation import isolation_faults
from chunk_sync.store.mailboxes import list_mailboxes
from chunk_sync.store.migrations import schema_version

_LOW_DISK = 1 << 30


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the doctor's report."""

    name: str
    ok: bool
    detail: str


def run_checks() -> list[CheckResult]:
    """Look at the settings, the state folder, the database, its schema and the mailboxes."""
    results = [
        CheckResult("python", sys.version_info >= (3, 11), sys.version.split()[0]),
        _check("settings", lambda: f"state in {Settings.read().home}"),
        _check("disk", _disk),
    ]
    try:
        with session() as opened:
            results += [
                _check("postgresql", lambda: _server(opened)),
                _check("schema", lambda: f"version {schema_version(opened.database)}"),
                _check("search_path", lambda: _search_path(opened)),
                _check("isolation", lambda: _isolation(opened)),
                _check("mailboxes", lambda: f"{len(list_mailboxes(opened.database))} connected"),
            ]
    except ChunkSyncError as error:
        results.append(CheckResult("postgresql", ok=False, detail=str(error)))
    return results


def _check(name: str, look: Callable[[], str]) -> CheckResult:
    try:
        return CheckResult(name, ok=True, detail=look())
    except ChunkSyncError as error:
        return CheckResult(name, ok=False, detail=str(error))


def _disk() -> str:
    home = Settings.read().home
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < _LOW_DISK:
        message = f"{free / 1e9:.1f} GB free at {place}: raw mail and PostgreSQL need more"
        raise ChunkSyncError(message)
    return f"{free / 1e9:.0f} GB free at {place}"


def _server(opened: Session) -> str:
    version = check_server(opened.located.dsn)
    kind = "embedded" if opened.located.embedded else "yours (CHUNK_SYNC_DSN)"
    return f"{version // 10000}.{version % 10000}, {kind}"


def _search_path(opened: Session) -> str:
    rows = opened.database.execute(
        "SELECT coalesce(bool_or(setting LIKE 'search_path=chunk_sync%%'), false) AS ok FROM pg_db_role_setting AS s,"
        " unnest(s.setconfig) AS setting JOIN pg_database AS d ON d.datname = current_database()"
        " WHERE s.setdatabase = d.oid",
        {},
    )
    if not rows[0]["ok"]:
        message = "not set on the database: as its owner, ALTER DATABASE … SET search_path = chunk_sync, public"
        raise ChunkSyncError(message)
    return "chunk_sync is on the database's path: psql finds the functions unqualified"


def _isolation(opened: Session) -> str:
    faults = isolation_faults(opened.database)
    tenants = opened.database.execute("SELECT count(*) AS n FROM tenants")[0]["n"]
    if faults and tenants > 1:
        message = f"tenants are not isolated: {'; '.join(faults)}"
        raise ChunkSyncError(message)
    return f"only one tenant, not isolated: {'; '.join(faults)}" if faults else "tenants see their own rows only"
