"""Commands for tests of their words: each in a process of its own, forked from one that has imported them all.

A command that is started anew spends more than a second on imports. `run_cli` of chunk_sync_tests.e2e.installation does
that, as a user's shell does; what it gives is the same.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from chunk_sync.settings import HOME, PROJECT_ROOT, environment

_FILES = ("in", "out", "err")


def run_warm(
    home: Path, *words: str, variables: Mapping[str, str] | None = None, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    with TemporaryDirectory(prefix="chunk-sync-test-") as name:
        folder = Path(name)
        (folder / "in").write_text(stdin or "", encoding="utf-8")
        environ = environment() | {HOME: str(home)} | dict(variables or {})
        code = _ask({"words": words, "environ": environ, "folder": name})
        out, err = ((folder / file).read_text(encoding="utf-8") for file in _FILES[1:])
    return subprocess.CompletedProcess(words, code, out, err)


def _ask(request: object) -> int:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    return int(server.stdout.readline())


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-P", "-m", "chunk_sync_tests.cli.warm"],
        cwd=PROJECT_ROOT,
        env=environment() | {"PYTHONPATH": str(PROJECT_ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(_end, server)
    return server


def _end(server: subprocess.Popen[str]) -> None:
    with server:  # closes its pipes and waits for it
        server.kill()


def _serve() -> None:
    """Fork for each line that is asked, and answer with the exit code. The child returns as the command that it is."""
    from chunk_sync.cli.main import main

    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            _become(**json.loads(line))
            main()
            return
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _become(words: list[str], environ: dict[str, str], folder: str) -> None:
    """Take a command's words, environment and files."""
    for number, name in enumerate(_FILES):
        file = os.open(f"{folder}/{name}", os.O_RDWR | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - the other one has read ahead
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["chunk-sync", *words]


if __name__ == "__main__":
    _serve()
