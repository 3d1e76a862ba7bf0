"""The process behind `pymap.py`: pymap's in-memory server with our users, on the first of some ports that is free.

Reads one line of JSON (`{"ports": [20000], "users": {"name": "password"}}`), prints the port, and ends with its
standard input, so that it never outlives the tests. Passwords are compared as they are: pymap's default
hashing costs 0.6 s of CPU for each login.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from argparse import Namespace
from typing import Any

from proxyprotocol.reader import ProxyProtocolReader
from pymap.backend.dict import Config, DictBackend, Identity
from pymap.imap import IMAPServer
from pymap.user import UserMetadata
from pysasl.hashing import Cleartext

_HOST = "127.0.0.1"


async def serve(ports: list[int], users: dict[str, str]) -> None:
    """Serve until standard input ends."""
    backend, config = await _backend(users)
    config.apply_context()
    serve_one = ProxyProtocolReader(config.proxy_protocol).get_callback(IMAPServer(backend.login, config))
    server = await _listening(serve_one, ports)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await _end_of_input()
    server.close()


async def _listening(serve_one: Any, ports: list[int]) -> asyncio.Server:
    for port in ports[:-1]:
        with contextlib.suppress(OSError):  # somebody has taken it meanwhile
            return await asyncio.start_server(serve_one, _HOST, port)
    return await asyncio.start_server(serve_one, _HOST, ports[-1])


async def _backend(users: dict[str, str]) -> tuple[DictBackend, Config]:
    (first, first_password), *others = users.items()
    arguments: dict[str, Any] = {
        "host": _HOST,
        "port": "0",
        "debug": False,
        "cert": None,
        "key": None,
        "tls": False,
        "passlib_cfg": None,
        "proxy_protocol": None,
        "demo_data": False,
        "demo_user": first,
        "demo_password": first_password,
    }
    backend, config = await DictBackend.init(Namespace(**arguments), hash_context=Cleartext(), invalid_user_sleep=0.0)
    for name, password in others:
        identity = Identity(name, backend.login, None, frozenset())
        await identity.set(UserMetadata(config, name, password=password))
    return backend, config


async def _end_of_input() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


if __name__ == "__main__":
    wanted = json.loads(sys.stdin.readline())
    asyncio.run(serve(wanted["ports"], wanted["users"]))
