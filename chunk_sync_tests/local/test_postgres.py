"""The embedded PostgreSQL server: started, shared, killed."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg
import pytest

from chunk_sync.errors import UsageError
from chunk_sync.local import postgres
from chunk_sync.local.pg_cluster import SUPERUSER, complaint
from chunk_sync.local.ports import is_free
from chunk_sync.local.postgres import DAGSTER_DATABASE, EmbeddedPostgres
from chunk_sync_tests.postgres_plugin import PgServer, scratch_folder
from chunk_sync_tests.servers.process import wait_until

USE = """
import sys, time
from pathlib import Path
import psycopg
from chunk_sync.local.postgres import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    with psycopg.connect(server.url()) as connection:
        connection.execute("select pg_advisory_xact_lock(1)")
        connection.execute("create table if not exists visits (at timestamptz default now())")
        connection.execute("insert into visits default values")
    print(server.port, flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """Give the place of a cluster that the tests of this module share, one after another."""
    with scratch_folder() as folder:
        yield folder / "postgres"


def use(base: Path, seconds: float) -> subprocess.Popen[str]:
    """Use the server in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", USE, str(base), str(seconds)], stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    """Read the next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline()


def postmaster(base: Path) -> psutil.Process:
    """Find the server's process."""
    return psutil.Process(int((base / "data" / "postmaster.pid").read_text().splitlines()[0]))


def value(
    server: EmbeddedPostgres, statement: str, *, role: str = "chunk_sync", database: str = "chunk_sync"
) -> object:
    """Ask the server for one value."""
    with psycopg.connect(server.url(database, role=role)) as connection:
        row = connection.execute(statement).fetchone()
    return row and row[0]


def test_server_as_promised(base: Path) -> None:
    """Both databases belong to a role that is no superuser; UTF-8, UTC, the same order of strings everywhere."""
    with EmbeddedPostgres(base, test=True) as server:
        for database in ("chunk_sync", DAGSTER_DATABASE):
            assert value(server, "select current_database()", database=database) == database
            assert (
                value(server, "select has_database_privilege(current_database(), 'create')", database=database) is True
            )
        assert value(server, "select rolsuper from pg_roles where rolname = current_user") is False
        assert value(server, "select rolsuper from pg_roles where rolname = current_user", role=SUPERUSER) is True
        assert value(server, "show server_encoding") == "UTF8"
        assert value(server, "show timezone") == "UTC"
        assert value(server, "select 'a' < 'B'") is False
        assert value(server, "select lower('ÄÖ')") == "äö"
        assert int(str(value(server, "show max_connections"))) == 200
        assert server.psql == server._binaries.folder / "psql"


def test_password_is_secret_and_needed(base: Path) -> None:
    """The password file is for its owner only, and nobody comes in without it."""
    with EmbeddedPostgres(base, test=True) as server:
        assert (base / "password").stat().st_mode & 0o777 == 0o600
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://chunk_sync@127.0.0.1:{server.port}/chunk_sync")


def test_durable_unless_for_tests(base: Path) -> None:
    """Only a test server trades durability for speed."""
    with EmbeddedPostgres(base) as server:
        assert [value(server, f"show {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")] == [
            "on"
        ] * 3
    with EmbeddedPostgres(base, test=True) as server:
        assert value(server, "show fsync") == "off"


def test_last_user_stops_it(base: Path) -> None:
    """A second user shares the running server and leaves it on; the last one stops it. The port stays."""
    with EmbeddedPostgres(base, test=True) as one:
        with EmbeddedPostgres(base, test=True) as two:
            assert two.port == one.port
            assert two.url() == one.url()
        assert value(one, "select 1") == 1
        server = postmaster(base)
    assert not server.is_running()
    with EmbeddedPostgres(base, test=True) as again:
        assert again.port == one.port


def test_first_users_at_once() -> None:
    """Four processes that come to an empty folder together make one cluster and share one server."""
    with scratch_folder() as folder, ExitStack() as opened:
        users = [opened.enter_context(use(folder / "postgres", 0.5)) for _ in range(4)]
        ports = {line(user) for user in users}
        assert [user.wait() for user in users] == [0, 0, 0, 0]
        assert len(ports) == 1
        assert sorted(path.name for path in folder.glob("postgres/data*")) == ["data"]
        with EmbeddedPostgres(folder / "postgres", test=True) as server:
            assert value(server, "select count(*) from visits") == 4


def test_killed_server_and_user(base: Path) -> None:
    """After kill -9 of a user and of the server, the next one finds the committed rows on the same port."""
    with use(base, 600) as user:
        port = int(line(user))
        before = postmaster(base)
        user.kill()
        before.kill()
    with EmbeddedPostgres(base, test=True) as server:
        assert server.port == port
        assert int(str(value(server, "select count(*) from visits"))) >= 1
        assert postmaster(base) != before


def test_killed_user_leaves_a_server_that_is_taken_over(base: Path) -> None:
    """A server whose user was killed is used by the next one, who then stops it as the last."""
    with use(base, 600) as user:
        line(user)
        user.kill()
    left = postmaster(base)
    with EmbeddedPostgres(base, test=True):
        assert postmaster(base) == left
    left.wait(60)


def test_revive(base: Path) -> None:
    """A user whose server was killed starts it again on the same port; one that runs is left alone."""
    with EmbeddedPostgres(base, test=True) as server:
        port = server.port
        assert not server.revive()
        postmaster(base).kill()
        assert wait_until(server.revive, 60)
        assert server.port == port
        assert value(server, "select 1") == 1


def test_taken_port_is_replaced(base: Path) -> None:
    """When somebody else sits on the port of last time, another is chosen."""
    with EmbeddedPostgres(base, test=True) as server:
        port = server.port
    with socket.create_server(("127.0.0.1", port)), EmbeddedPostgres(base, test=True) as server:
        assert server.port != port
        assert value(server, "select 1") == 1


def test_stale_pid_file_in_anothers_hands(base: Path) -> None:
    """A leftover pid file with the number of a stranger is not trusted, nor is the stranger stopped."""
    with EmbeddedPostgres(base, test=True) as server:
        stranger = subprocess.Popen(["sleep", "600"], **server._run_as)  # PostgreSQL itself would be deceived
    with stranger:
        (base / "data" / "postmaster.pid").write_text(f"{stranger.pid}\n{base}/data\n0\n1\n\n127.0.0.1\n0 0\nready\n")
        with EmbeddedPostgres(base, test=True) as server:
            assert value(server, "select 1") == 1
        assert stranger.poll() is None
        stranger.kill()


def test_interrupted_initdb_is_made_anew() -> None:
    """What a killed first start left behind is removed, not used."""
    with scratch_folder() as folder:
        half = folder / "postgres" / "data.new.1"
        half.mkdir(parents=True)
        (half / "PG_VERSION").write_text("18\n")
        with EmbeddedPostgres(folder / "postgres", test=True) as server:
            assert value(server, "select 1") == 1
        assert not half.exists()


def test_data_of_another_version() -> None:
    """Data of another major version are not touched, and the way out is said in one line."""
    with scratch_folder() as folder:
        data = folder / "postgres" / "data"
        data.mkdir(parents=True)
        (data / "PG_VERSION").write_text("17\n")
        with pytest.raises(
            UsageError, match=r"was made by PostgreSQL 17, .* holds 18.*CHUNK_SYNC_PG_BIN.*start anew$"
        ) as caught:
            EmbeddedPostgres(folder / "postgres").__enter__()
        assert "\n" not in str(caught.value)
        assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_folder_that_cannot_be_written() -> None:
    """A place that cannot be had names the folder and the way out."""
    with scratch_folder() as folder:
        (folder / "file").touch()
        with pytest.raises(UsageError, match=r"^cannot use the state folder .*CHUNK_SYNC_HOME$"):
            EmbeddedPostgres(folder / "file" / "postgres").__enter__()


def test_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a cluster on a full disk ends with its last useful line and leaves nothing behind."""

    def full(*_args: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "data.new")

    monkeypatch.setattr(postgres.pg_cluster, "create", full)
    with scratch_folder() as folder:
        with pytest.raises(UsageError, match=r"data\.new: No space left on device"):
            EmbeddedPostgres(folder / "postgres").__enter__()
        assert not list(folder.glob("postgres/data*"))


def test_useful_line_of_a_failed_program() -> None:
    """Of a program's output the line that tells is shown, not the last."""
    output = (
        "creating configuration files ... initdb: error: could not write file: No space left on device\n"
        "initdb: removing data directory\n\n"
    )
    assert complaint(output) == "error: could not write file: No space left on device"
    assert (
        complaint("2026-01-01 UTC [7] FATAL:  data directory has wrong ownership\nHINT:  own it\n")
        == "FATAL:  data directory has wrong ownership"
    )
    assert complaint("Killed\n") == "Killed"
    assert complaint("") == "it said nothing"


def test_server_that_cannot_start_says_why(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that fails for good is tried once, and ends with the server's own reason."""
    with EmbeddedPostgres(base, test=True):
        pass
    conf = base / "data" / "postgresql.conf"
    text = conf.read_text()
    conf.write_text(text + "\nshared_preload_libraries = 'no_such_library'\n")
    tries: list[str | None] = []
    start = EmbeddedPostgres._try_to_start
    monkeypatch.setattr(EmbeddedPostgres, "_try_to_start", lambda server: tries.append(start(server)) or tries[-1])
    with pytest.raises(UsageError, match=r"^PostgreSQL does not start: .*no_such_library.*postgres\.log\)$"):
        EmbeddedPostgres(base, test=True).__enter__()
    assert len(tries) == 1
    conf.write_text(text)
    with EmbeddedPostgres(base, test=True) as server:
        assert value(server, "select 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as somebody else")
def test_root_below_a_private_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """In root's private folder the cluster moves out, a link leads there, and the folder stays private."""
    with scratch_folder() as folder:
        monkeypatch.setattr(postgres, "_ROOTS_PLACE", folder / "var")
        private = folder / "private"
        private.mkdir(mode=0o700)
        home = private / "project" / ".chunk-sync"
        for _ in range(2):
            with EmbeddedPostgres(home / "postgres", test=True) as server:
                assert value(server, "select 1") == 1
                assert server.data.is_relative_to(folder / "var")
                assert postmaster(home / "postgres").uids().real != 0
        assert (home / "postgres").resolve() == server.base
        assert private.stat().st_mode & 0o777 == 0o700


def test_databases_for_tests(pg_server: PgServer) -> None:
    """A template's contents are in each clone, clones are apart, and the one before last is dropped."""

    def fill(dsn: str) -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute("create table t as select 1 as n")

    template = pg_server.template(fill)
    seen = []
    for _ in range(4):
        with pg_server.cloned(template) as dsn, psycopg.connect(dsn) as connection:
            assert connection.execute("insert into t values (2) returning (select count(*) from t)").fetchone() == (1,)
            seen.append(connection.info.dbname)
    names = [row[0] for row in pg_server.admin.execute("select datname from pg_database").fetchall()]
    assert [name in names for name in seen] == [False, False, True, True]


def test_chosen_port_is_outside_of_outgoing_ones(base: Path) -> None:
    """The port cannot be lent to an outgoing connection while the server is down."""
    with EmbeddedPostgres(base, test=True) as server:
        assert server.port < 32768
        assert not is_free(server.port)
