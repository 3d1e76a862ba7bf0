"""Import a module where any connection is an error; prints what was imported: `guarded_import.py MODULE`."""

from __future__ import annotations

import importlib
import json
import sys

import psycopg
import psycopg2

_NETWORK = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event in _NETWORK:
        raise AssertionError(f"{event} {arguments[1:]}")


def _refuse(*_arguments: object, **_options: object) -> None:
    raise AssertionError("a database connection")


def guard() -> None:
    """Make any connection of this process an error, from now on."""
    # libpq connects in C, where no audit event tells of it.
    psycopg.connect = psycopg.Connection.connect = _refuse
    psycopg2.connect = _refuse
    sys.addaudithook(_hook)


if __name__ == "__main__":
    before = set(sys.modules)
    guard()
    importlib.import_module(sys.argv[1])
    sys.stdout.write(json.dumps(sorted(set(sys.modules) - before)))
