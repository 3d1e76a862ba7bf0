"""The database of this installation: the embedded server, or the one that CHUNK_SYNC_DSN names."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chunk_sync.local.dsn import app_url, dagster_local_url, dagster_own_url, dagster_url
from chunk_sync.local.postgres import APP_DATABASE, DAGSTER_DATABASE, EmbeddedPostgres
from chunk_sync.local.state import prepare_home
from chunk_sync.settings import DAGSTER_DSN, DSN, HOME, PROJECT_ROOT, RUN_SLOTS, STATE, Settings

# Beside the sync runs: planning, health and whatever a person starts.
_OTHER_RUNS = 2


@dataclass(frozen=True, slots=True)
class Database:
    """Where the data are, as SQLAlchemy URLs; `server` is the embedded one, None for yours."""

    dsn: str
    dagster_dsn: str
    psql: Path | None
    server: EmbeddedPostgres | None = None

    @property
    def embedded(self) -> bool:
        """Whether the server is ours."""
        return self.server is not None


@contextmanager
def database(settings: Settings) -> Iterator[Database]:
    """Have a database while inside; the embedded server is shared with `up` and with other commands.

    Raises UsageError when it cannot be had. A server of yours is not called here: the first query does.
    """
    if settings.dsn:
        psql = shutil.which("psql")
        yield Database(
            dsn=app_url(settings.dsn),
            dagster_dsn=_own_dagster_dsn(settings) or dagster_url(settings.dsn),
            psql=Path(psql) if psql else None,
        )
        return
    home = prepare_home(settings.home)
    with EmbeddedPostgres(home / "postgres", pg_bin=settings.pg_bin) as server:
        yield embedded_database(settings, server)


def embedded_database(settings: Settings, server: EmbeddedPostgres) -> Database:
    """Describe the databases of a running embedded server."""
    return Database(
        dsn=app_url(server.url(APP_DATABASE)),
        dagster_dsn=_own_dagster_dsn(settings) or dagster_local_url(server.url(DAGSTER_DATABASE)),
        psql=server.psql,
        server=server,
    )


def dagster_environment(settings: Settings, found: Database) -> dict[str, str]:
    """Name what Dagster's processes need to know, besides the settings they read themselves."""
    return {
        DSN: found.dsn,
        DAGSTER_DSN: found.dagster_dsn,
        HOME: str(settings.home),
        STATE: str(settings.home / "dagster"),
        RUN_SLOTS: str(settings.parallel_runs + _OTHER_RUNS),
        "DAGSTER_HOME": str(PROJECT_ROOT),
        "DAGSTER_DISABLE_TELEMETRY": "yes",  # dagster.yaml says so too, but empty folders would appear
    }


def _own_dagster_dsn(settings: Settings) -> str | None:
    return dagster_own_url(settings.dagster_dsn) if settings.dagster_dsn else None
