"""Pytest plugin: tests that need a program of the system, `@pytest.mark.needs("dovecot")`.

Without the program they are left out and counted aloud at the end. With `--require-tools` (what
`./chunk-sync test --install-tools` gives) that is a failure instead, but for what this machine cannot have.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from chunk_sync.cli.testing import TOOLS

_NOT_RUN = pytest.StashKey[Counter[str]]()
_OUTPUT = "not_run"
"""The same in what a worker of pytest-xdist gives back: it is the workers that collect."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--require-tools`."""
    parser.addoption("--require-tools", action="store_true", help="fail when a tool that a test needs is missing")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", f"needs(tool, ...): runs only where these are installed: {', '.join(TOOLS)}")
    config.stash[_NOT_RUN] = Counter()


@pytest.hookimpl(trylast=True)  # after -k and -m: what nobody asked for is not missed
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests whose tools are missing."""
    missing = {name for name, tool in TOOLS.items() if not tool.available()}
    left_out = {item: sorted(_needs(item) & missing) for item in items if _needs(item) & missing}
    if not left_out:
        return
    for tools in left_out.values():
        config.stash[_NOT_RUN][" and ".join(tools)] += 1
    needed = {name for tools in left_out.values() for name in tools if TOOLS[name].is_made_for_us()}
    if needed and config.getoption("--require-tools"):
        raise pytest.UsageError("; ".join(_lines(config)))
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell whoever started this worker what it left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_OUTPUT] = dict(session.config.stash[_NOT_RUN])


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_testnodedown(node: Any) -> None:
    """Hear what a worker left out; each of them collects everything."""
    node.config.stash[_NOT_RUN] |= Counter(getattr(node, "workeroutput", {}).get(_OUTPUT, {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, and how to have it."""
    lines = _lines(terminalreporter.config)
    if lines:
        terminalreporter.section("tools", yellow=True)
    for line in lines:
        terminalreporter.write_line(f"{line}; install: ./chunk-sync test --install-tools (as root)", yellow=True)


def _needs(item: pytest.Item) -> set[str]:
    needed = {str(name) for marker in item.iter_markers("needs") for name in marker.args}
    if unknown := needed - TOOLS.keys():
        message = f"{item.nodeid}: unknown tool {', '.join(sorted(unknown))}; known are {', '.join(TOOLS)}"
        raise pytest.UsageError(message)
    return needed


def _lines(config: pytest.Config) -> list[str]:
    return [
        f"NOT RUN: {count} test{'s' if count > 1 else ''} need{'' if count > 1 else 's'} {tool}"
        for tool, count in sorted(config.stash[_NOT_RUN].items())
    ]
