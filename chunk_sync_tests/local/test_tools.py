"""Tests that need a program of the system: left out aloud, or a failure."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import typer

from chunk_sync.cli import testing
from chunk_sync.cli.testing import TOOLS, Tool, run_tests
from chunk_sync.errors import UsageError
from chunk_sync.settings import PROJECT_ROOT

pytest_plugins = ["pytester"]

TESTS = """
import pytest
def test_plain(): pass
@pytest.mark.needs("shell")
def test_with_shell(): pass
@pytest.mark.needs("nothing")
@pytest.mark.parametrize("n", [1, 2])
def test_with_nothing(n): raise AssertionError
@pytest.mark.needs("half", "shell")
def test_with_half(): raise AssertionError
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Write a small test suite, and know tools for it of which one is there."""
    known = [
        Tool("shell", package="dash", programs=("sh",)),
        Tool("nothing", package="nothing", programs=("no-such-program",)),
        Tool("half", package="dash", programs=("sh",), module="no_such_module"),
    ]
    for tool in known:
        monkeypatch.setitem(TOOLS, tool.name, tool)
    pytester.makeini("[pytest]\naddopts = --strict-markers -p chunk_sync_tests.tools_plugin")
    pytester.makepyfile(TESTS)
    return pytester


def test_missing_tools_are_reported(suite: pytest.Pytester) -> None:
    """Without their tools tests are left out, the rest runs, and the report counts them and says how to have them."""
    result = suite.runpytest_inprocess()
    result.assert_outcomes(passed=2, deselected=3)
    result.stdout.fnmatch_lines(
        [
            "NOT RUN: 1 test needs half; install: ./chunk-sync test --install-tools (as root)",
            "NOT RUN: 2 tests need nothing; install: ./chunk-sync test --install-tools (as root)",
        ]
    )
    result.stdout.no_fnmatch_line("*shell*")


def test_required_tools_must_be_there(suite: pytest.Pytester) -> None:
    """With --require-tools a missing tool is a failure before any test."""
    result = suite.runpytest_inprocess("--require-tools")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*NOT RUN: 1 test needs half; NOT RUN: 2 tests need nothing"])
    result.assert_outcomes()


def test_unwanted_tests_are_not_missed(suite: pytest.Pytester) -> None:
    """What -k leaves out needs no tool."""
    result = suite.runpytest_inprocess("--require-tools", "-k", "plain or shell")
    result.assert_outcomes(passed=2, deselected=3)
    result.stdout.no_fnmatch_line("*NOT RUN*")


def test_unknown_tool_is_a_mistake(suite: pytest.Pytester) -> None:
    """A misspelt tool does not leave a test out for ever."""
    suite.makepyfile(TESTS.replace('"shell"', '"shel"'))
    result = suite.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unknown tool shel; known are dovecot, chromium, isync*"])


def test_programs_of_the_system_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program outside of an ordinary user's PATH, such as /usr/sbin/dovecot, is found."""
    (tmp_path / "some-daemon").touch(mode=0o755)
    tool = Tool("daemon", package="daemon", programs=("other-name", "some-daemon"))
    assert not tool.available()
    monkeypatch.setattr(testing, "_SYSTEM_FOLDERS", str(tmp_path))
    assert tool.program() == str(tmp_path / "some-daemon")
    assert tool.available()


def test_installing_takes_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cannot install packages is told which ones are missing."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(testing, "TOOLS", {"no": Tool("no", package="no-package", programs=("no-such-program",))})
    with pytest.raises(UsageError, match=r"needs root and Debian's apt-get: install no-package yourself"):
        run_tests([], install_tools=True)


def test_pytest_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command becomes pytest in the project's folder, with the caller's arguments."""
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _program, arguments: became.append(arguments))
    monkeypatch.setattr(os, "chdir", lambda folder: became.append([str(folder)]))
    monkeypatch.setattr(testing, "_install_tools", lambda: became.append(["installed"]))
    run_tests(["-k", "x"], install_tools=False)
    run_tests([], install_tools=True)
    assert became == [
        [str(PROJECT_ROOT)],
        [sys.executable, "-m", "pytest", "-k", "x"],
        ["installed"],
        [str(PROJECT_ROOT)],
        [sys.executable, "-m", "pytest", "--require-tools"],
    ]


def test_command_hands_pytests_arguments_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options that are not ours are pytest's."""
    seen: list[tuple[list[str], bool]] = []
    monkeypatch.setattr(testing, "run_tests", lambda args, *, install_tools: seen.append((args, install_tools)))
    app = typer.Typer()
    app.command("test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(testing.test)
    app(["-x", "--install-tools", "-k", "one or two", "chunk_sync_tests/local"], standalone_mode=False)
    assert seen == [(["-x", "-k", "one or two", "chunk_sync_tests/local"], True)]


def test_every_tool_has_a_package() -> None:
    """The three groups of tools are known by their names."""
    assert {name: tool.package for name, tool in TOOLS.items()} == {
        "dovecot": "dovecot-imapd",
        "chromium": "chromium",
        "isync": "isync",
    }
