"""Runs forked from a warm process: where that is set up, and that what is imported before the fork may be forked."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import forkserver

import pytest

from chunk_sync.defs import warm_start
from chunk_sync.settings import PROJECT_ROOT, environment

SERVING = ["/somewhere/dagster/__main__.py", "api", "grpc", "--port", "1"]
DEFINITIONS = "chunk_sync.definitions"
LOOK = """
import json, os, sys, threading
from chunk_sync_tests.defs import guarded_import
guarded_import.guard()
for module in sys.argv[1:]:
    __import__(module)
names = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
files = [os.readlink(name) for name in names if os.path.islink(name)]
json.dump({"threads": threading.active_count(), "sockets": [f for f in files if f.startswith("socket:")]}, sys.stdout)
"""


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the context of this process start its processes as before."""
    monkeypatch.setattr(forkserver._forkserver, "_preload_modules", ["__main__"])
    yield
    vars(multiprocessing.get_context("spawn")).pop("Process", None)


def starts_with() -> type:
    """Tell what starts a process where "spawn" is asked for, as Dagster's code server does."""
    return multiprocessing.get_context("spawn").Process


@pytest.mark.skipif(sys.platform != "linux", reason="a fork server is used on Linux only")
def test_the_code_server_forks_its_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """In `dagster api grpc` a process that is asked for comes from the fork server, which imports the definitions."""
    monkeypatch.setattr(sys, "argv", SERVING)
    warm_start.fork_runs(DEFINITIONS)
    assert multiprocessing.get_context("forkserver").Process is starts_with()
    assert DEFINITIONS == forkserver._forkserver._preload_modules[0]


@pytest.mark.parametrize("argv", [["pytest"], ["dagster", "dev"], ["dagster", "code-server", "start"], []])
def test_other_processes_are_left_alone(monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> None:
    """Whoever else loads the definitions starts processes as ever."""
    monkeypatch.setattr(sys, "argv", argv)
    warm_start.fork_runs(DEFINITIONS)
    assert multiprocessing.context.SpawnProcess is starts_with()


def test_the_definitions_ask_for_it() -> None:
    """Loaded by a code server, the product's definitions are what it forks."""
    script = (
        f"import sys; sys.argv = {SERVING!r}; import chunk_sync.definitions, multiprocessing\n"
        "from multiprocessing import forkserver\n"
        "print(multiprocessing.get_context('spawn').Process.__name__, *forkserver._forkserver._preload_modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    words = done.stdout.split()
    assert ("ForkServerProcess", DEFINITIONS) == (words[0], words[1])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_forked_has_no_threads_and_no_connections() -> None:
    """Of a process with either, a fork would be a broken copy."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, DEFINITIONS, *warm_start.NEEDED_BY_RUNS],
        cwd=PROJECT_ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert {"threads": 1, "sockets": []} == json.loads(done.stdout)
