"""What the embedded server is made of: initdb, its roles and databases, its command line, its complaints.

Two roles with one password: `postgres` is the superuser, for emergencies; `chunk_sync` owns the databases
and is what everything connects as. It is no superuser, so row level security binds it, as it would on a
server of yours; it may create roles.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from chunk_sync.errors import UsageError
from chunk_sync.local.pg_binaries import Binaries, RunAs
from chunk_sync.settings import environment

OWNER = "chunk_sync"
SUPERUSER = "postgres"
# Lines of postmaster.pid, from 0.
PID_FILE_PORT = 3
PID_FILE_STATUS = 7

_SETTINGS = {
    "max_connections": "200",  # each of Dagster's processes keeps several pools
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
}
_TEST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
_BUILTIN_LOCALE_MAJOR = 17
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - PostgreSQL uses it, we look how large it is
_SHARED_MEMORY_BYTES = 256 << 20


def create(binaries: Binaries, folder: Path, password: Path, *, databases: Sequence[str], user: RunAs) -> None:
    """Fill an empty folder with a cluster, its roles and databases; on disk when this returns.

    `password` is a file that the server's user can read. Raises UsageError with the last useful line.
    """
    locale = ["--locale=C"]  # the same order of strings on every machine
    if binaries.major >= _BUILTIN_LOCALE_MAJOR:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    initdb = [binaries.program("initdb"), "-D", str(folder)]
    login = ["-U", SUPERUSER, "--auth=scram-sha-256", f"--pwfile={password}"]
    _run([*initdb, *login, "-E", "UTF8", *locale, "--no-sync"], folder, user)
    # In single-user mode no server is running yet and no client is needed.
    statements = [
        f"CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD '{password.read_text()}';",
        *(f"CREATE DATABASE {name} OWNER {OWNER};" for name in databases),
    ]
    single = [binaries.program("postgres"), "--single", "-D", str(folder), "-c", "exit_on_error=true"]
    quiet = ["-c", "log_checkpoints=off", "-c", "fsync=off", "-c", "log_min_error_statement=panic"]
    _run([*single, *quiet, "postgres"], folder, user, "\n".join([*statements, ""]))
    _run([*initdb, "--sync-only"], folder, user)


def server_command(binaries: Binaries, data: Path, port: int, *, test: bool) -> list[str]:
    """Write the server's command line: loopback only, no Unix socket (its path has a short limit)."""
    settings = _SETTINGS | (_TEST_SETTINGS if test else {})
    if _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).free < _SHARED_MEMORY_BYTES:
        settings |= {"dynamic_shared_memory_type": "mmap"}  # a container's 64 MB do not carry a parallel query
    command = [binaries.program("postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", ""]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return command


def server_environment(home: Path) -> dict[str, str]:
    """Give the server what it needs of our environment: no PGDATA, PGPORT or foreign library path."""
    kept = {name: value for name, value in environment().items() if name in ("PATH", "TMPDIR")}
    # LC_ALL: macOS's PostgreSQL becomes multithreaded without it and refuses to start.
    return kept | {"LC_ALL": "C", "HOME": str(home)}


def complaint(output: str) -> str:
    """Pick the line of a program's output that says what is wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [found[0] for line in lines if (found := re.search(r"(FATAL|PANIC|error):.*", line))]
    return (telling or lines or ["it said nothing"])[-1]


def _run(command: list[str], folder: Path, user: RunAs, text: str = "") -> None:
    done = subprocess.run(  # noqa: S603 - the programs that we chose
        command,
        input=text,
        env=server_environment(folder.parent),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        **user,
    )
    if done.returncode:
        message = f"cannot make a PostgreSQL cluster in {folder.parent}: {complaint(done.stdout + done.stderr)}"
        raise UsageError(message)
