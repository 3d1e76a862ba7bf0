"""How the tests share two processes: what starts installations stays together, modules stay whole."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from chunk_sync.settings import PROJECT_ROOT, environment
from chunk_sync_tests.parallel_plugin import INSTALLATIONS, scope_of

STARTERS = {"Installation", "Machines"}
BODY = "def test_a(worker_id):\n    pass\n\ndef test_b(worker_id):\n    pass\n"


def test_whatever_starts_an_installation_is_known() -> None:
    """A module that makes one is named by its place, so that no two are at work at once."""
    found: set[str] = set()
    for file in (PROJECT_ROOT / "chunk_sync_tests").rglob("test_*.py"):
        calls = [node.func for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
        if STARTERS & {func.id for func in calls if isinstance(func, ast.Name)}:
            found.add(str(file.relative_to(PROJECT_ROOT)))
    assert found
    assert {"installations"} == {scope_of(f"{name}::test_x") for name in found}


def test_two_processes_share_by_place(tmp_path: Path) -> None:
    """All of e2e is run by one process, before anything else; a module is run by one process."""
    places = [f"{INSTALLATIONS[0]}test_one.py", f"{INSTALLATIONS[0]}test_two.py", INSTALLATIONS[1]]
    for name in [*places, *(f"chunk_sync_tests/a/test_{n}.py" for n in range(3))]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(BODY)
    command = [sys.executable, "-m", "pytest", "-v", "-n", "2", "-p", "chunk_sync_tests.parallel_plugin"]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "-p", "no:cacheprovider", "--import-mode=importlib", "."],
        env=environment() | {"PYTHONPATH": str(PROJECT_ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    ran = [line.split() for line in done.stdout.splitlines() if " PASSED " in line]
    assert 12 == len(ran), done.stdout + done.stderr
    by_scope: dict[str, set[str]] = {}
    for worker, *_, nodeid in ran:
        by_scope.setdefault(scope_of(nodeid), set()).add(worker)
    assert 4 == len(by_scope)
    assert {1} == {len(workers) for workers in by_scope.values()}
    first = next(words for words in ran if words[0] in by_scope["installations"])
    assert "installations" == scope_of(first[-1])
