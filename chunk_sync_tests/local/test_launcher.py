"""The launcher `./chunk-sync`, with a `uv` that only pretends to install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chunk_sync.local.pg_binaries import RunAs
from chunk_sync.settings import PROJECT_ROOT
from chunk_sync_tests.postgres_plugin import scratch_folder
from chunk_sync_tests.servers.process import wait_until

# It makes an environment whose python is this one and which is told apart by its own site-packages, and it
# writes down each installation. One that is begun lasts as long as there is a file `slow` beside it.
UV = """#!/bin/sh
set -eu
case $1 in
  venv)
    for target in "$@"; do :; done
    rm -rf "$target"; mkdir -p "$target/bin" "$target/site"
    printf '#!/bin/sh\\ncase "$*" in *purelib*) echo %s/site;; *) echo "$0" "$@";; esac\\n' "$target" \\
      >"$target/bin/python"
    chmod +x "$target/bin/python" ;;
  pip)
    for requirements in "$@"; do :; done
    [ ! -e "$(dirname "$0")/broken" ] || { echo "no network" >&2; exit 1; }
    while [ -e "$(dirname "$0")/slow" ]; do sleep 0.02; done
    echo "$UV_COMPILE_BYTECODE" >"$(dirname "$0")/compiled"
    basename "$requirements" >>"$(dirname "$0")/installed" ;;
esac
"""


class Launcher:
    """A copy of the launcher in a folder of its own."""

    def __init__(self, root: Path, tools: Path) -> None:
        self.root = root
        self.tools = tools
        self.path = f"{tools}:/usr/bin:/bin"
        self.user: RunAs = {}

    def start(self, *arguments: str, program: Path | None = None, cwd: Path | None = None, **variables: str):
        """Start it with nothing but a PATH."""
        return subprocess.Popen(
            [program or self.root / "chunk-sync", *arguments],
            env={"PATH": self.path, **variables},
            cwd=cwd or "/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **self.user,
        )

    def run(self, *arguments: str, **more) -> tuple[int, str, str]:
        """Run it: exit code, output, errors."""
        with self.start(*arguments, **more) as process:
            out, err = process.communicate()
            return process.returncode, out.strip(), err.strip()

    @contextmanager
    def installing(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start it, and have it in the middle of an installation until `go_on`, or the context ends."""
        (self.tools / "slow").touch()
        with self.start(*arguments) as process:
            try:
                assert wait_until((self.root / ".venv" / "site").exists, 60)
                yield process
            finally:
                self.go_on()

    def go_on(self) -> None:
        """Let an installation that was begun end."""
        (self.tools / "slow").unlink(missing_ok=True)

    def installed(self) -> list[str]:
        """List the installations so far."""
        done = self.tools / "installed"
        return done.read_text().split() if done.exists() else []


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    """Copy the launcher and give it a pretending uv and this Python."""
    root, tools = tmp_path / "a project", tmp_path / "tools"
    root.mkdir()
    tools.mkdir()
    shutil.copy(PROJECT_ROOT / "chunk-sync", root)
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-uv.txt", "pyproject.toml"):
        (root / name).write_text(f"{name}\n")
    (tools / "uv").write_text(UV)
    (tools / "uv").chmod(0o755)
    (tools / "python3").symlink_to(sys.executable)
    return Launcher(root, tools)


def expected(launcher: Launcher, *arguments: str) -> str:
    """Write the command that the launcher ends in."""
    return " ".join([f"{launcher.root}/.venv/bin/python -P -m chunk_sync.cli.main", *arguments])


def test_installs_once_and_becomes_the_command(launcher: Launcher) -> None:
    """The first start installs what a user needs, the second nothing; standard output is the command's alone."""
    code, out, err = launcher.run("status", "--watch")
    assert (code, out) == (0, expected(launcher, "status", "--watch"))
    assert err.startswith("chunk-sync: installing into ")
    assert launcher.run("up") == (0, expected(launcher, "up"), "")
    assert launcher.installed() == ["requirements.txt"]
    assert (launcher.root / ".venv/site/chunk_sync.pth").read_text() == f"{launcher.root}\n"


def test_tests_need_more(launcher: Launcher) -> None:
    """`test` adds the developers' packages on top; afterwards both are there."""
    launcher.run("up")
    kept = launcher.root / ".venv" / "kept"
    kept.touch()
    assert launcher.run("test", "-k", "x")[1] == expected(launcher, "test", "-k", "x")
    assert launcher.installed() == ["requirements.txt", "requirements-dev.txt"]
    assert kept.exists()
    for command in ("test", "up"):
        assert launcher.run(command)[2] == ""


def test_changed_requirements_are_installed(launcher: Launcher) -> None:
    """A changed lock is installed on top of what is there."""
    launcher.run("up")
    (launcher.root / "requirements.txt").write_text("more\n")
    launcher.run("up")
    assert launcher.installed() == ["requirements.txt"] * 2


def test_moved_folder_is_installed_anew(launcher: Launcher) -> None:
    """An environment does not survive a move: it is made anew."""
    launcher.run("up")
    (launcher.root / ".venv" / "old").touch()
    launcher.root = launcher.root.rename(launcher.root.with_name("moved"))
    assert launcher.run("up")[1] == expected(launcher, "up")
    assert not (launcher.root / ".venv" / "old").exists()


def test_interrupted_installation_is_redone(launcher: Launcher) -> None:
    """A start that was killed, or failed, in the middle leaves nothing that passes for an installation."""
    with launcher.installing("up") as process:
        process.kill()
    (launcher.tools / "broken").touch()
    code, out, err = launcher.run("up")
    assert (code, out) == (1, "")
    assert err.endswith("chunk-sync: the installation failed, see above; the same command tries again")
    (launcher.tools / "broken").unlink()
    assert launcher.run("up")[:2] == (0, expected(launcher, "up"))


def test_two_first_starts_at_once(launcher: Launcher) -> None:
    """The second waits for the first, says so, and does not install again."""
    with launcher.installing("up") as one, launcher.start("status") as two:
        assert two.stderr is not None
        assert two.stderr.readline() == "chunk-sync: another chunk-sync is installing: waiting for it\n"
        launcher.go_on()
        for process in (one, two):
            process.communicate()
        assert [process.returncode for process in (one, two)] == [0, 0]
    assert launcher.installed() == ["requirements.txt"]


def test_from_elsewhere_and_through_links(launcher: Launcher, tmp_path: Path) -> None:
    """It finds its folder from any place, through absolute and relative links, and stays where it was called."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "absolute").symlink_to(launcher.root / "chunk-sync")
    (tmp_path / "bin" / "relative").symlink_to("../a project/chunk-sync")
    (tmp_path / "twice").symlink_to("bin/relative")
    for link in ("bin/absolute", "bin/relative", "twice"):
        assert launcher.run("dsn", program=tmp_path / link, cwd=tmp_path)[1] == expected(launcher, "dsn")


def test_compiled_at_once_only_where_python_would_not(launcher: Launcher) -> None:
    """Python keeps what it compiles at the first start; where it must not, everything is compiled beforehand."""
    launcher.run("up")
    assert (launcher.tools / "compiled").read_text() == "0\n"
    launcher.run("test", PYTHONDONTWRITEBYTECODE="1")
    assert (launcher.tools / "compiled").read_text() == "1\n"


def test_no_python(launcher: Launcher) -> None:
    """Without a Python that fits there is one clear line, and a wished one is not replaced in silence."""
    launcher.path = str(launcher.tools)
    for program in ("sh", "cat", "cksum", "dirname", "readlink"):
        (launcher.tools / program).symlink_to(shutil.which(program) or "")
    (launcher.tools / "python3").unlink()
    (launcher.tools / "python3").write_text("#!/bin/sh\nexit 1\n")
    (launcher.tools / "python3").chmod(0o755)
    code, _, err = launcher.run("up")
    assert code == 1
    assert err.startswith("chunk-sync: no Python 3.11, 3.12 or 3.13 found: install one")
    (launcher.tools / "python3.12").symlink_to(sys.executable)
    code, _, err = launcher.run("up", PYTHON="/no/python")
    assert (code, err) == (1, "chunk-sync: PYTHON=/no/python is not a Python 3.11, 3.12 or 3.13")


def test_no_way_to_install(launcher: Launcher) -> None:
    """A Python with neither pip nor venv is told what to install."""
    (launcher.tools / "uv").unlink()
    (launcher.tools / "python3").unlink()
    real = "case $* in *ensurepip*|*pip*) exit 1;; *) exec " + sys.executable + ' "$@";; esac'
    (launcher.tools / "python3").write_text(f"#!/bin/sh\n{real}\n")
    (launcher.tools / "python3").chmod(0o755)
    code, _, err = launcher.run("up")
    assert code == 1
    assert "install uv" in err.splitlines()[-1]


def test_folder_that_cannot_be_written(launcher: Launcher) -> None:
    """A folder of somebody else is one clear line."""
    with scratch_folder() as folder:
        launcher.root = Path(shutil.copytree(launcher.root, folder / "project"))
        launcher.user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        launcher.root.chmod(0o555)
        try:
            code, _, err = launcher.run("up", PYTHON="/usr/bin/python3")
            assert code == 1
            assert err.startswith(f"chunk-sync: cannot write {launcher.root}")
        finally:
            launcher.root.chmod(0o755)


def test_locks_name_no_host() -> None:
    """The committed locks hold versions and hashes, and no registry's host."""
    for lock in PROJECT_ROOT.glob("requirements*.txt"):
        text = lock.read_text()
        assert "://" not in text, lock
        assert "index-url" not in text, lock
        assert text.count("--hash=sha256:") >= text.count("=="), lock
