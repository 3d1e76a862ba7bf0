"""URLs of databases."""

from __future__ import annotations

import psycopg.conninfo
import pytest
from sqlalchemy.engine import make_url

from chunk_sync.errors import UsageError
from chunk_sync.local.dsn import (
    app_url,
    dagster_local_url,
    dagster_own_url,
    dagster_url,
    libpq_url,
    local_url,
    without_password,
)


@pytest.mark.parametrize(
    "typed",
    [
        "postgres://app:secret@db/mail",
        "postgresql://app:secret@db/mail",
        "postgresql+psycopg2://app:secret@db/mail",
        " postgresql://app:secret@db/mail\n",
    ],
)
def test_scheme_names_our_driver(typed: str) -> None:
    """Every way to say PostgreSQL becomes psycopg 3 for us and psycopg2 for Dagster."""
    assert app_url(typed) == "postgresql+psycopg://app:secret@db/mail"
    assert dagster_own_url(typed) == "postgresql+psycopg2://app:secret@db/mail"
    assert libpq_url(typed) == "postgresql://app:secret@db/mail"


@pytest.mark.parametrize("password", ["p@ss w/%", "p%40ss%20w%2F%25", "p@ss%20w/%25"])
def test_password_reaches_every_reader(password: str) -> None:
    """Escapes are decoded once, and a blank, @, / or % typed as it is gets through too."""
    typed = f"postgresql://app:{password}@db:6432/mail"
    assert make_url(app_url(typed)).password == "p@ss w/%"
    assert make_url(dagster_url(typed)).password == "p@ss w/%"
    assert psycopg.conninfo.conninfo_to_dict(libpq_url(typed)) == {
        "user": "app",
        "password": "p@ss w/%",
        "host": "db",
        "port": "6432",
        "dbname": "mail",
    }


@pytest.mark.parametrize(
    "typed",
    [
        "postgresql://app@/mail?host=/run/postgresql&port=5433",
        "postgresql://app@%2Frun%2Fpostgresql:5433/mail",
    ],
)
def test_unix_socket(typed: str) -> None:
    """A socket's folder is kept for libpq and for SQLAlchemy, however it was written."""
    expected = {"user": "app", "dbname": "mail", "host": "/run/postgresql", "port": "5433"}
    assert psycopg.conninfo.conninfo_to_dict(libpq_url(typed)) == expected
    url = make_url(app_url(typed))
    assert url.host is None
    assert url.query == {"host": "/run/postgresql", "port": "5433"}


def test_ipv6_host_keeps_its_brackets() -> None:
    """An IPv6 address is not taken for a host and a port."""
    assert app_url("postgresql://app@[::1]/mail") == "postgresql+psycopg://app@[::1]/mail"
    assert make_url(app_url("postgresql://app@[::1]:6432/mail")).port == 6432


def test_dagster_has_a_schema_of_its_own() -> None:
    """Dagster's tables go to the schema dagster, and options that were there stay."""
    url = make_url(dagster_url("postgresql://app@db/mail?sslmode=require"))
    assert url.query == {"sslmode": "require", "options": "-csearch_path=dagster -csynchronous_commit=off"}
    url = make_url(dagster_url("postgresql://app@db/mail?options=-c%20jit%3Doff"))
    assert url.query == {"options": "-c jit=off -csearch_path=dagster -csynchronous_commit=off"}


def test_dagster_does_not_wait_for_the_disk_on_the_embedded_server() -> None:
    """A database of Dagster's own needs no schema; its commits are quick there too."""
    url = make_url(dagster_local_url("postgresql://app:pw@127.0.0.1:5/dagster"))
    assert (url.drivername, url.query) == ("postgresql+psycopg2", {"options": "-csynchronous_commit=off"})


def test_plus_stays_a_plus() -> None:
    """A + in a parameter means itself, as libpq has it, for SQLAlchemy as well."""
    typed = "postgresql://app@db/mail?application_name=a+b"
    assert make_url(app_url(typed)).query == {"application_name": "a+b"}
    assert psycopg.conninfo.conninfo_to_dict(libpq_url(typed))["application_name"] == "a+b"


@pytest.mark.parametrize(
    "typed",
    [
        "mysql://app:hunter2@db/mail",
        "app:hunter2@db",
        "postgresql://app:hunter2@db:abc/mail",
        "postgresql://hunter2@a:1,b:2/mail",
    ],
)
def test_unusable_url_is_refused_without_repeating_it(typed: str) -> None:
    """The message names the variable and the form, never the text, which may hold a password."""
    with pytest.raises(UsageError, match=r"^CHUNK_SYNC_DSN .*postgresql://user:password@host:5432/database$") as caught:
        app_url(typed)
    assert "hunter2" not in str(caught.value)


def test_own_dagster_url_is_called_by_its_name() -> None:
    """A mistake in Dagster's own URL is blamed on Dagster's variable."""
    with pytest.raises(UsageError, match=r"^CHUNK_SYNC_DAGSTER_DSN "):
        dagster_own_url("nonsense")


def test_password_is_not_shown() -> None:
    """A URL for people has its password in neither place."""
    assert without_password("postgresql://app:secret@db/mail") == "postgresql://app@db/mail"
    assert without_password("postgresql://db/mail?user=app&password=secret") == "postgresql://db/mail?user=app"


def test_local_url() -> None:
    """The embedded server's URL is one for libpq."""
    assert local_url("app", "a b", 25000, "mail") == "postgresql://app:a%20b@127.0.0.1:25000/mail"
