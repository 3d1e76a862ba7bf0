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
from chunk_sync.settings import PROJECT_ROOT, TEST_DSN

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
@pytest.mark.needs("elsewhere")
def test_elsewhere(): raise AssertionError
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Write a small test suite, and know tools for it of which one is there."""
    known = [
        Tool("shell", package="dash", programs=("sh",)),
        Tool("nothing", package="nothing", programs=("no-such-program",)),
        Tool("half", package="dash", programs=("sh",), module="no_such_module"),
        Tool("elsewhere", module="no_such_module", machine="Other machine"),
    ]
    for tool in known:
        monkeypatch.setitem(TOOLS, tool.name, tool)
    pytester.makeini("[pytest]\naddopts = --strict-markers -p chunk_sync_tests.tools_plugin")
    pytester.makepyfile(TESTS)
    return pytester


def test_missing_tools_are_reported(suite: pytest.Pytester) -> None:
    """Without their tools tests are left out, the rest runs, and the report counts them and says how to have them."""
    result = suite.runpytest_inprocess()
    result.assert_outcomes(passed=2, deselected=4)
    result.stdout.fnmatch_lines(
        [
            "NOT RUN: 1 test needs elsewhere; install: ./chunk-sync test --install-tools (as root)",
            "NOT RUN: 1 test needs half; install: ./chunk-sync test --install-tools (as root)",
            "NOT RUN: 2 tests need nothing; install: ./chunk-sync test --install-tools (as root)",
        ]
    )
    result.stdout.no_fnmatch_line("*shell*")


def test_two_processes_report_as_one(suite: pytest.Pytester) -> None:
    """What each process of two left out is counted once."""
    suite.makeconftest(
        "from chunk_sync.cli.testing import TOOLS, Tool\n"
        "TOOLS.update({name: Tool(name, programs=('no-such-program',)) for name in ('nothing', 'half', 'elsewhere')})\n"
        "TOOLS['shell'] = Tool('shell', programs=('sh',))\n"
    )
    result = suite.runpytest_subprocess("-n", "2")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["NOT RUN: 2 tests need nothing; install: *"])


def test_required_tools_must_be_there(suite: pytest.Pytester) -> None:
    """With --require-tools a missing tool is a failure before any test."""
    result = suite.runpytest_inprocess("--require-tools")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*NOT RUN: 1 test needs half; NOT RUN: 2 tests need nothing"])
    result.assert_outcomes()


def test_unwanted_tests_are_not_missed(suite: pytest.Pytester) -> None:
    """What -k leaves out needs no tool."""
    result = suite.runpytest_inprocess("--require-tools", "-k", "plain or shell")
    result.assert_outcomes(passed=2, deselected=4)
    result.stdout.no_fnmatch_line("*NOT RUN*")


def test_what_this_machine_cannot_have_is_not_required(suite: pytest.Pytester) -> None:
    """A tool that is made for other machines leaves its tests out, aloud, and fails nothing."""
    result = suite.runpytest_inprocess("--require-tools", "-k", "plain or elsewhere")
    result.assert_outcomes(passed=1, deselected=5)
    result.stdout.fnmatch_lines(["NOT RUN: 1 test needs elsewhere;*"])


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


def test_a_tool_may_be_one_version_only(tmp_path: Path) -> None:
    """A tool that is bound to a folder is not found elsewhere: another PostgreSQL on the PATH is not the oldest one."""
    tool = Tool("shell", package="dash", programs=("sh",), folder=str(tmp_path))
    assert not tool.available()
    (tmp_path / "sh").touch(mode=0o755)
    assert str(tmp_path / "sh") == tool.program()


def test_installing_takes_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cannot install packages is told which ones are missing."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(testing, "TOOLS", {"no": Tool("no", package="no-package", programs=("no-such-program",))})
    with pytest.raises(UsageError, match=r"needs root and Debian's apt-get: install no-package yourself"):
        run_tests([], install_tools=True)


@pytest.fixture
def apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, bool]]:
    """Be root on a Debian that knows the package dash; (apt-get's word, whether servers are held back) per call."""
    marker = tmp_path / "createcluster.d" / "chunk-sync.conf"
    calls: list[tuple[str, bool]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(testing.shutil, "which", lambda name, **_: name if name == "apt-get" else None)
    monkeypatch.setattr(testing, "_NO_CLUSTER", marker)
    monkeypatch.setattr(testing, "_is_packaged", lambda package: package == "dash")
    monkeypatch.setattr(testing, "_run", lambda words, _: calls.append((words[-2], marker.exists())))
    return calls


def test_installing_starts_no_server(apt: list[tuple[str, bool]], tmp_path: Path) -> None:
    """While packages are installed, Debian's PostgreSQL is told to make no cluster; nothing is left of that after."""
    testing._apt_install(["dash"])
    assert [("-qq", False), ("install", True)] == apt
    assert [] == list(tmp_path.iterdir())


def test_python_packages_are_installed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the tools' Python packages the missing ones are installed by hash, those for other machines never."""
    ran: list[list[str]] = []
    known = [
        Tool("have", module="pytest", requirements="requirements-have.txt"),
        Tool("lack", module="no_such_module", requirements="requirements-lack.txt"),
        Tool("also", module="nor_such_module", requirements="requirements-also.txt"),
        Tool("not ours", module="no_such_module", requirements="requirements-other.txt", machine="Other machine"),
    ]
    monkeypatch.setattr(testing, "TOOLS", {tool.name: tool for tool in known})
    monkeypatch.setattr(testing, "_run", ran.append)
    with pytest.raises(UsageError, match=r"installed, but still not found: lack, also$"):
        testing._install_tools()
    assert ["--require-hashes", "-r", "requirements-lack.txt", "-r", "requirements-also.txt"] == ran[0][-5:]


def test_a_package_that_is_not_there_is_named(apt: list[tuple[str, bool]]) -> None:
    """A system that does not package a tool says which, and what to do, before anything is installed."""
    with pytest.raises(UsageError, match=r"this system has no package postgresql-15 \(Debian 12 has\): add a source"):
        testing._apt_install(["dash", "postgresql-15"])
    assert ["-qq"] == [word for word, _ in apt]


def test_the_chosen_postgresql_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--postgres 15` is the folder of that version, or an error that says how to have it."""
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _program, arguments: became.append(arguments))
    monkeypatch.setattr(os, "chdir", lambda _: None)
    monkeypatch.setattr(testing.shutil, "which", lambda _, path: path)
    run_tests(["-x"], install_tools=False, postgres=15)
    assert [[sys.executable, "-m", "pytest", "--postgres-bin", "/usr/lib/postgresql/15/bin", "-x"]] == became
    monkeypatch.setattr(testing.shutil, "which", lambda _, **__: None)
    with pytest.raises(UsageError, match=r"no PostgreSQL 15 in /usr/lib/postgresql/15/bin: .*--install-tools"):
        run_tests([], install_tools=False, postgres=15)


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
        [sys.executable, "-m", "pytest", "--require-tools", "-n", "2"],
    ]


def test_a_server_that_is_given_is_used_by_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Roles are the server's, not a database's: two suites at once would be in each other's way."""
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _program, arguments: became.append(arguments))
    monkeypatch.setattr(os, "chdir", lambda _: None)
    monkeypatch.setenv("CHUNK_SYNC_TEST_DSN", "postgresql://somewhere/else")
    run_tests([], install_tools=False)
    assert [[sys.executable, "-m", "pytest"]] == became


def test_command_hands_pytests_arguments_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options that are not ours are pytest's."""
    seen: list[tuple[list[str], bool, int | None]] = []
    monkeypatch.setattr(
        testing, "run_tests", lambda args, *, install_tools, postgres: seen.append((args, install_tools, postgres))
    )
    app = typer.Typer()
    app.command("test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(testing.test)
    app(["-x", "--install-tools", "-k", "one or two", "chunk_sync_tests/local"], standalone_mode=False)
    app(["--postgres", "15", "-x"], standalone_mode=False)
    assert seen == [(["-x", "-k", "one or two", "chunk_sync_tests/local"], True, None), (["-x"], False, 15)]


def test_every_tool_has_a_package() -> None:
    """The tools are known by their names; what is no package of Debian's is locked with hashes."""
    for tool in TOOLS.values():
        assert (tool.module is None) == (tool.requirements is None)
        if tool.requirements is not None:
            assert "--hash=sha256:" in (PROJECT_ROOT / tool.requirements).read_text()
    assert {name: tool.package for name, tool in TOOLS.items()} == {
        "dovecot": "dovecot-imapd",
        "chromium": "chromium",
        "atheris": None,
        "isync": "isync",
        "postgresql-15": "postgresql-15",
        "redis": "redis-server",
        "check-jsonschema": None,
    }


@pytest.mark.parametrize(
    ("folder", "dsn", "complaint"),
    [
        ("/nowhere", "", "*--postgres-bin: /nowhere: no postgres and initdb there that run"),
        ("/nowhere", "postgresql://u@h/d", "*--postgres-bin and CHUNK_SYNC_TEST_DSN name two servers*"),
    ],
)
def test_a_server_that_cannot_be_is_refused(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, folder: str, dsn: str, complaint: str
) -> None:
    """`--postgres-bin` is looked at before any test."""
    monkeypatch.setenv(TEST_DSN, dsn)
    pytester.makeini("[pytest]\naddopts = -p chunk_sync_tests.postgres_plugin")
    result = pytester.runpytest_inprocess("--postgres-bin", folder)
    assert pytest.ExitCode.USAGE_ERROR == result.ret
    result.stderr.fnmatch_lines([complaint])
