"""The one PostgreSQL of a run: embedded, durable, on disk; a database a system, made anew for each measurement."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from chunk_sync.local.pg_cluster import OWNER, SUPERUSER
from chunk_sync.local.postgres import EmbeddedPostgres

# Beyond what `./chunk-sync up` sets: no checkpoint by time or size inside a measurement; one comes before each.
_SETTINGS = {"max_wal_size": "16GB", "checkpoint_timeout": "1h"}
_SHOWN = ("fsync", "synchronous_commit", "full_page_writes", "wal_level", "shared_buffers", "max_wal_size")
_IN_MEMORY = {"tmpfs", "ramfs"}
_SYNC_TRIES = 200
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Server:
    """The server that runs; `admin` is the superuser's connection."""

    postgres: EmbeddedPostgres
    admin: psycopg.Connection
    folder: Path

    def create(self, name: str, template: str | None = None) -> str:
        """Make a database anew, empty or as a copy, after a checkpoint; its URL.

        A copy's pages are all in the log after that checkpoint: a measurement on it writes no full pages.
        """
        self.admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        statement = sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(OWNER))
        if template:
            statement += sql.SQL(" TEMPLATE {} STRATEGY wal_log").format(sql.Identifier(template))
        self.admin.execute("CHECKPOINT")
        self.admin.execute(statement)
        return self.postgres.url(name)

    def settle(self, dsn: str, *, checkpoint: bool = False) -> None:
        """Vacuum and analyze what was enqueued: each system starts with good statistics."""
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("VACUUM (ANALYZE)")
        if checkpoint:
            self.admin.execute("CHECKPOINT")

    def wal_position(self) -> int:
        """Read how many bytes of log were ever written."""
        row = self.admin.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
        assert row is not None
        return int(row[0])

    def line(self) -> str:
        """Say what machine and server this is, and how busy."""
        shown = ", ".join(f"{name} {self.setting(name)}" for name in _SHOWN)
        return (
            f"PostgreSQL {self.setting('server_version')}, Python {platform.python_version()}, {os.cpu_count()} cores,"
            f" load {os.getloadavg()[0]:.1f}, {shown}, on {file_system(self.folder)},"
            f" fdatasync of 8 kB {sync_milliseconds(self.folder):.2f} ms"
        )

    def setting(self, name: str) -> str:
        """Read a setting."""
        row = self.admin.execute("SELECT current_setting(%s)", (name,)).fetchone()
        assert row is not None
        return row[0]


@contextmanager
def running() -> Iterator[Server]:
    """Start the server in a folder that goes away again, on a disk."""
    place = next((place for place in (tempfile.gettempdir(), "/var/tmp") if file_system(place) not in _IN_MEMORY), None)
    with tempfile.TemporaryDirectory(prefix="chunk-sync-benchmark-", dir=place) as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's user walks through it when we are root
        with (
            EmbeddedPostgres(folder / "postgres") as postgres,
            psycopg.connect(postgres.url("postgres", role=SUPERUSER), autocommit=True) as admin,
        ):
            for setting, value in _SETTINGS.items():
                admin.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(setting), sql.Literal(value)))
            admin.execute("SELECT pg_reload_conf()")
            server = Server(postgres, admin, folder)
            while any(server.setting(name) != value for name, value in _SETTINGS.items()):
                time.sleep(_POLL_SECONDS)
            yield server


def file_system(place: str | Path) -> str:
    """Tell the kind of file system that a folder lies on."""
    real = Path(place).resolve()
    mounts = [part for part in psutil.disk_partitions(all=True) if real.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"


def sync_milliseconds(folder: Path) -> float:
    """Time what a commit waits for: the median of writing 8 kB through to the disk."""
    times: list[float] = []
    path = folder / "sync"
    with path.open("wb", buffering=0) as file:
        for _ in range(_SYNC_TRIES):
            started = time.perf_counter()
            file.seek(0)
            file.write(b"\0" * 8192)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - started) * 1000)
    path.unlink()
    return statistics.median(times)
