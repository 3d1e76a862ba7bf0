"""Database URLs: one that a person typed, as our driver, Dagster's and the client tools want it. Pure.

Each part is decoded and encoded again, because the readers differ: SQLAlchemy forgives a blank in a
password and reads `+` as one, libpq does neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from chunk_sync.errors import UsageError

DAGSTER_SCHEMA = "dagster"
_NO_WAIT = "-csynchronous_commit=off"
_EXAMPLE = "postgresql://user:password@host:5432/database"


@dataclass(frozen=True, slots=True)
class _Url:
    """A PostgreSQL URL in parts, decoded; `host` is empty for a Unix socket, IPv6 keeps its brackets."""

    user: str
    password: str
    host: str
    port: str
    database: str
    query: Sequence[tuple[str, str]]

    def text(self, scheme: str) -> str:
        login = quote(self.user, safe="") + (f":{quote(self.password, safe='')}" if self.password else "")
        where = self.host + (f":{self.port}" if self.port else "")
        query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in self.query)
        return "".join(
            [
                f"{scheme}://",
                f"{login}@" if login else "",
                where,
                f"/{quote(self.database, safe='')}" if self.database else "/",
                f"?{query}" if query else "",
            ]
        )


def app_url(dsn: str, *, name: str = "CHUNK_SYNC_DSN") -> str:
    """Write a DSN for our own driver; raises UsageError, naming the variable, when it is no PostgreSQL URL."""
    return _parse(dsn, name).text("postgresql+psycopg")


def libpq_url(dsn: str) -> str:
    """Write a DSN for psql, pg_dump and psycopg.connect."""
    return _parse(dsn, "the DSN").text("postgresql")


def dagster_url(dsn: str) -> str:
    """Write a DSN for Dagster's storage: same database, tables in a schema of their own.

    dagster-postgres works with psycopg2 only, which a bare `postgresql://` no longer means. What Dagster
    stores can be made again from our tables, so its commits do not wait for the disk.
    """
    return _with_options(dsn, f"-csearch_path={DAGSTER_SCHEMA}", _NO_WAIT)


def dagster_local_url(dsn: str) -> str:
    """Write a DSN for Dagster's storage in a database of its own on the embedded server; it does not wait either."""
    return _with_options(dsn, _NO_WAIT)


def _with_options(dsn: str, *options: str) -> str:
    url = _parse(dsn, "CHUNK_SYNC_DSN")
    before = [value for name, value in url.query if name == "options"]
    others = [(name, value) for name, value in url.query if name != "options"]
    query = [*others, ("options", " ".join([*before, *options]))]
    return replace(url, query=query).text("postgresql+psycopg2")


def dagster_own_url(dsn: str, *, name: str = "CHUNK_SYNC_DAGSTER_DSN") -> str:
    """Write a DSN that is Dagster's alone: only the driver is made plain."""
    return _parse(dsn, name).text("postgresql+psycopg2")


def without_password(dsn: str) -> str:
    """Write a DSN for people's eyes."""
    url = _parse(dsn, "the DSN")
    query = [(name, value) for name, value in url.query if "password" not in name]
    return replace(url, password="", query=query).text("postgresql")


def local_url(user: str, password: str, port: int, database: str) -> str:
    """Write the URL of a server on this machine."""
    return _Url(user, password, "127.0.0.1", str(port), database, ()).text("postgresql")


def _parse(dsn: str, name: str) -> _Url:
    scheme, separator, rest = dsn.strip().partition("://")
    if not separator or scheme.partition("+")[0] not in ("postgresql", "postgres"):
        # The text is not repeated: it may hold a password.
        message = f"{name} is not a PostgreSQL URL: write it as {_EXAMPLE}"
        raise UsageError(message)
    rest, _, query = rest.partition("?")
    # The last @ ends the login, so that a password may hold one; a path begins after that.
    login, _, address = rest.rpartition("@")
    address, _, database = address.partition("/")
    user, _, password = login.partition(":")
    host, port = _host_and_port(address, name)
    pairs = _query(query)
    if host.startswith("/"):  # libpq's %2Frun%2Fpostgresql, which SQLAlchemy knows as a parameter only
        pairs += [("host", host), *([("port", port)] if port else [])]
        host = port = ""
    return _Url(unquote(user), unquote(password), host, port, unquote(database), pairs)


def _host_and_port(address: str, name: str) -> tuple[str, str]:
    head, separator, tail = address.rpartition(":")
    host, port = (head, tail) if separator and not address.endswith("]") else (address, "")
    if "," in host or (port and not port.isdecimal()):
        message = f"{name} needs one host and a port in digits: write it as {_EXAMPLE}"
        raise UsageError(message)
    return unquote(host), port


def _query(text: str) -> list[tuple[str, str]]:
    pairs = [pair.partition("=") for pair in text.split("&") if pair]
    return [(unquote(name), unquote(value)) for name, _, value in pairs]
