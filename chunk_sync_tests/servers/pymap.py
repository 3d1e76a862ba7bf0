"""pymap, an IMAP server from PyPI: keeps the IMAP path tested where no Dovecot can be installed.

Its in-memory backend is used, because that one hands out the bytes it was given; the Maildir backend
writes messages anew through `email` and changes them. The mailbox is therefore empty after every start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from chunk_sync.demo.mailbox import GeneratedMessage
from chunk_sync_tests.servers.process import ImapServer, ServerDidNotStart, free_ports

_PORT_ATTEMPTS = 3
_PROGRAM = Path(__file__).with_name("pymap_main.py")


class PymapServer(ImapServer):
    """A pymap process: plain text only, no limits, mail in memory."""

    # It refuses an empty APPEND (as the RFC says), loses the last line feed of a message that is all header,
    # and drops the connection over 1,200 nested multiparts.
    cannot_hold = frozenset({"empty", "no_headers", "nest_1200"})

    def start(self) -> None:
        """Start the server and wait until it answers; raises ServerDidNotStart."""
        with (self.path / "pymap.log").open("ab") as log:
            # -P: this folder must not come first on sys.path, it holds a module that is named pymap too.
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.path,
                env={**os.environ, "FQDN": "localhost"},  # else each greeting asks the DNS
                start_new_session=True,
            )
        self._group = self._process.pid
        assert self._process.stdin
        assert self._process.stdout
        # On its first start it takes one of these; later the same one again.
        ports = [self.port] if self.port else free_ports(_PORT_ATTEMPTS)
        self._process.stdin.write(json.dumps({"ports": ports, "users": self.users}).encode() + b"\n")
        self._process.stdin.flush()
        port = self._process.stdout.readline()
        if not port:
            log_text = self.log()
            self.kill()
            raise ServerDidNotStart(log_text)
        self.port = int(port)
        self._wait_for_greeting()

    def add_messages(
        self, folder: str, messages: Iterable[bytes | GeneratedMessage], *, user: str | None = None
    ) -> None:
        """Put messages into a folder, which is made when it is not there."""
        self._append(folder, messages, user)

    def reset_uidvalidity(self, folder: str, *, user: str | None = None) -> None:
        """Begin a new epoch of a folder: another UIDVALIDITY, the same messages, UIDs dealt anew."""
        self._renumber(folder, user)

    def hang_up(self) -> None:
        """Close the server's standard input, as the end of the test process does."""
        assert self._process
        assert self._process.stdin
        self._process.stdin.close()

    def _ask_to_end(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin
        process.stdin.close()
