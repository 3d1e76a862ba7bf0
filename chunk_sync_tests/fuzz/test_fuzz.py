"""Fuzzing finds nothing, within a few seconds and from good first inputs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chunk_sync.settings import PROJECT_ROOT
from chunk_sync_tests.fuzz import agreement, parser, replies
from chunk_sync_tests.fuzz.harness import FINDINGS, LARGEST, Target, write_seeds

_SECONDS = 300
"""More than it ever takes: it is over when it is through."""
_RUNS = 1_500  # the same ones on any machine

BROKEN = """
from chunk_sync_tests.fuzz.harness import Target, main

def check(data):
    if data.startswith(b"FUZZ"):
        raise KeyError("found")

main(lambda: Target("broken", check, [b"FUZ"], [b"FUZZ"]), ["no_such_package"])
"""


@pytest.mark.needs("atheris")
@pytest.mark.parametrize("module", [parser.MODULE, replies.MODULE])
def test_fuzzing_finds_nothing(module: str, tmp_path: Path) -> None:
    """What strangers may send makes nothing fail, and no value that cannot be stored.

    Always the same inputs, so that nobody's change fails by luck: other ones are tried by hand.
    """
    done = _run([sys.executable, "-m", module, str(_SECONDS), "-seed=1", f"-runs={_RUNS}"], tmp_path)
    assert 0 == done.returncode, _report(done, tmp_path)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("stat::number_of_executed_units")]
    assert _RUNS == int(line.rpartition(" ")[2])


@pytest.mark.needs("atheris")
def test_a_finding_fails_and_says_how_to_reproduce_it(tmp_path: Path) -> None:
    """A program that raises ends with an error, the input in a file, and the command for it."""
    program = tmp_path / "broken.py"
    program.write_text(BROKEN)
    done = _run([sys.executable, str(program), str(_SECONDS), "-seed=1"], tmp_path)
    assert 0 != done.returncode
    (file,) = tmp_path.glob("finding-*")
    assert f"to reproduce: python -m broken {file}" in done.stderr.splitlines()
    again = _run([sys.executable, str(program), str(file)], tmp_path)
    assert (1, "KeyError: 'found'") == (again.returncode, again.stderr.splitlines()[-1])


@pytest.mark.parametrize("load", [parser.load, replies.load, agreement.load], ids=["parser", "replies", "agreement"])
def test_every_first_input_is_clean(load: Callable[[], Target]) -> None:
    """The checks hold for what fuzzing begins with, also where there is no atheris."""
    target = load()
    for seed in target.seeds:
        if len(seed) <= LARGEST:
            target.check_in_time(seed)


def test_a_slow_input_is_a_finding() -> None:
    """Time counts like an exception."""
    slow = Target("slow", lambda data: data * (1 << 26) and None, [], [])
    with pytest.raises(AssertionError, match=r"4 bytes took"):
        slow.check_in_time(b"slow", seconds=0.001)


def test_seeds_that_are_too_long_are_left_out(tmp_path: Path) -> None:
    """A corpus holds what the fuzzer may change."""
    write_seeds(tmp_path / "seeds", [b"a", b"x" * (LARGEST + 1), b"b"])
    assert [b"a", b"b"] == [file.read_bytes() for file in sorted((tmp_path / "seeds").iterdir())]


def _run(command: list[str], findings: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, FINDINGS: str(findings), "PYTHONPATH": str(PROJECT_ROOT)}
    return subprocess.run(
        command,
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=2 * _SECONDS,
        check=False,
    )


def _report(done: subprocess.CompletedProcess[str], findings: Path) -> str:
    """Say what was found: the input itself too, for its file may be gone when somebody reads this."""
    files = {file.name: file.read_bytes()[:2000] for file in findings.glob("finding-*")}
    return f"{done.stderr[-4000:]}\n{files}"
