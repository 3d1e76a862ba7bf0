"""Running programs: start one, hear its lines, end it. Ends only what it started."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

_ROOT = Path(__file__).parents[2]
_START_SECONDS = 60.0
_END_SECONDS = 10.0
_COMPLAINT = re.compile(r"[\w.]+: \S")
"""As Python and Node end a traceback: the kind of error, then what it was."""
_AFTERTHOUGHTS = ("HINT", "DETAIL", "CONTEXT", "LINE")


class Failed(Exception):
    """A program did not do what it was told; the message is its own last word."""


class Program:
    """A process that does one job: `with Program(command, job) as program`."""

    def __init__(self, command: list[str], job: dict[str, Any], hears: queue.Queue[tuple[int, dict[str, Any]]]) -> None:
        """Start; what it says arrives in `hears`, with its process id; an empty message when it ended."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the program
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=_ROOT,
            env=os.environ | {"NODE_ENV": "production", "GRAPHILE_ENV": "production"},
            text=True,
        )
        self.id = self._process.pid
        self._hears = hears
        self.tell(json.dumps(job))
        threading.Thread(target=self._listen, daemon=True).start()

    def tell(self, line: str) -> None:
        """Send a line; nothing happens when it is gone already."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def reason(self) -> str:
        """Give the last line that it complained with."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self._errors.seek(0)
        lines = [line.rstrip() for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        telling = [line for line in lines if _COMPLAINT.match(line) and not line.startswith(_AFTERTHOUGHTS)]
        silent = f"it ended without a word (exit code {self._process.returncode})"
        return (telling or lines or [silent])[-1].strip()[:300]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.tell("stop")
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._errors.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.startswith("{"):
                    self._hears.put((self.id, json.loads(line)))
        self._hears.put((self.id, {}))


class Troupe:
    """Programs that run at the same time and are heard in one place."""

    def __init__(self) -> None:
        self._hears: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
        self._stack = contextlib.ExitStack()
        self._programs: dict[int, Program] = {}

    def start(self, command: list[str], job: dict[str, Any]) -> Program:
        """Start one more."""
        program = self._stack.enter_context(Program(command, job, self._hears))
        self._programs[program.id] = program
        return program

    def hear(self, seconds: float) -> tuple[int, dict[str, Any]] | None:
        """Wait for the next message; None when there is none in time. Raises Failed when a program died."""
        try:
            sender, message = self._hears.get(timeout=seconds)
        except queue.Empty:
            return None
        if not message:
            raise Failed(self._programs[sender].reason())
        return sender, message

    def expect(self, key: str, *, count: int = 1, seconds: float = _START_SECONDS) -> list[Any]:
        """Wait for a value of that name from so many programs. Raises Failed."""
        found: list[Any] = []
        until = time.monotonic() + seconds
        while len(found) < count:
            heard = self.hear(max(0.0, until - time.monotonic()))
            if heard is None:
                message = f'no "{key}" within {seconds:.0f} s'
                raise Failed(message)
            if key in heard[1]:
                found.append(heard[1][key])
        return found

    def tell(self, word: str) -> None:
        """Tell all of them."""
        for program in self._programs.values():
            program.tell(word)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.tell("stop")
        self._stack.close()


def ask(command: list[str], job: dict[str, Any], key: str, *, seconds: float = _START_SECONDS) -> Any:
    """Have one program do one job; the value of that name in its answer. Raises Failed."""
    with Troupe() as troupe:
        troupe.start(command, job)
        return troupe.expect(key, seconds=seconds)[0]
