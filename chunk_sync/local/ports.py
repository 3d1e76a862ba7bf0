"""TCP ports on this machine's loopback."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable

from chunk_sync.errors import UsageError

HOST = "127.0.0.1"
WEB_PORTS = range(3000, 3020)
# Below what Linux (32768) and macOS (49152) hand to outgoing connections, so that a server that is
# started again finds its port free.
_PRIVATE_PORTS = range(20000, 30000)
_FIRST_PORT_FOR_ALL = 1024
_HIGHEST_PORT = 65535


def is_free(port: int) -> bool:
    """Tell whether a server may listen on a port of the loopback; PermissionError below 1024 counts as no."""
    with socket.socket() as probe:
        # Somebody may listen on all addresses, beside whom macOS would let us bind.
        probe.settimeout(1)
        if probe.connect_ex((HOST, port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose_web_port(wanted: int | None) -> int:
    """Choose the web port: the wanted one or none (UsageError), else the first free one from 3000."""
    if wanted is None:
        return _first_free(WEB_PORTS, f"no free port from {WEB_PORTS[0]} to {WEB_PORTS[-1]}: give one with --port")
    if not 0 < wanted <= _HIGHEST_PORT:
        message = f"port {wanted} does not exist: give one from 1 to {_HIGHEST_PORT}"
        raise UsageError(message)
    busy = "in use" if wanted >= _FIRST_PORT_FOR_ALL else "in use, or for root only"
    return _first_free([wanted], f"port {wanted} is {busy}: give another with --port, or none to let one be chosen")


def choose_private_port() -> int:
    """Choose a free port for a server that only our own processes call."""
    return _first_free(random.sample(_PRIVATE_PORTS, k=100), "no free port on this machine's loopback")


def _first_free(candidates: Iterable[int], complaint: str) -> int:
    for port in candidates:
        if is_free(port):
            return port
    raise UsageError(complaint)
