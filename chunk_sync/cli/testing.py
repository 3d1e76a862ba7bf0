"""`test`: run the project's tests, and install what they need beyond Python packages.

Everything runs on the embedded PostgreSQL; `--postgres 15` runs tests of the database on the oldest one that is
supported. Tests against a real Dovecot, in a browser, beside mbsync, on PostgreSQL 15 or through Redis need programs of
the system, fuzzing needs atheris; without one they are left out, and the closing report says so.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from chunk_sync.errors import UsageError
from chunk_sync.local.pg_binaries import OLDEST_MAJOR
from chunk_sync.settings import PROJECT_ROOT, TEST_DSN, environment, variable

TWO_PROCESSES = ["-n", "2"]
_SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"  # not on an ordinary user's PATH
_NO_CLUSTER = Path("/etc/postgresql-common/createcluster.d/chunk-sync.conf")
"""Where Debian's PostgreSQL packages are told, while they are installed, to make and start no server of their own."""


@dataclass(frozen=True, slots=True)
class Tool:
    """What some tests need: a program with its Debian package, the Python package that drives it, or one of the two.

    `requirements`: the file that locks the Python package. `folder`: only there, where several versions of a program
    may be installed. `machine`: the only one that the tool is made for, as `Linux x86_64`; it is not missed elsewhere.
    """

    name: str
    package: str | None = None
    programs: Sequence[str] = ()
    module: str | None = None
    requirements: str | None = None
    folder: str | None = None
    machine: str | None = None

    def program(self) -> str | None:
        """Find the program's file."""
        places = [self.folder] if self.folder else [None, _SYSTEM_FOLDERS]  # None: the PATH
        found = (shutil.which(name, path=place) for name in self.programs for place in places)
        return next((path for path in found if path), None)

    def has_module(self) -> bool:
        """Tell whether the Python package is there, or none is needed."""
        return self.module is None or importlib.util.find_spec(self.module) is not None

    def available(self) -> bool:
        """Tell whether tests that need this can run."""
        return (self.program() is not None or not self.programs) and self.has_module()

    def is_made_for_us(self) -> bool:
        """Tell whether this machine can have it."""
        return self.machine in {None, f"{platform.system()} {platform.machine()}"}


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("dovecot", package="dovecot-imapd", programs=("dovecot",)),
        Tool(
            "chromium",
            package="chromium",
            programs=("chromium", "chromium-browser"),
            module="playwright",
            requirements="requirements-browser.txt",
        ),
        Tool("isync", package="isync", programs=("mbsync",)),
        Tool(
            f"postgresql-{OLDEST_MAJOR}",
            package=f"postgresql-{OLDEST_MAJOR}",
            programs=("postgres",),
            folder=f"/usr/lib/postgresql/{OLDEST_MAJOR}/bin",
        ),
        Tool("atheris", module="atheris", requirements="requirements-fuzz.txt", machine="Linux x86_64"),
        Tool(
            "redis",
            package="redis-server",
            programs=("redis-server",),
            module="dagster_celery",
            requirements="requirements-celery.txt",
        ),
        Tool("check-jsonschema", module="check_jsonschema", requirements="requirements-deploy.txt"),
    )
}


def test(
    context: typer.Context,
    install_tools: Annotated[
        bool,
        typer.Option(
            "--install-tools",
            help="Install Dovecot, Chromium, mbsync, PostgreSQL 15, Redis and atheris first (Debian, as root).",
        ),
    ] = False,  # noqa: PT028 - a command, no test
    postgres: Annotated[
        int | None,
        typer.Option(metavar="MAJOR", help="Run on Debian's PostgreSQL of this version instead of the embedded one."),
    ] = None,  # noqa: PT028
) -> None:
    """Run the tests; other arguments are pytest's."""
    run_tests(context.args, install_tools=install_tools, postgres=postgres)


def run_tests(args: Sequence[str], *, install_tools: bool, postgres: int | None = None) -> NoReturn:
    """Become pytest. With `install_tools` every tool is installed first, and its tests must run.

    `postgres` is the major version of the server that the tests' databases live on; it must be installed. The whole
    suite is run by two processes, each with a server of its own; with arguments by one, unless they say `-n`.
    """
    if importlib.util.find_spec("pytest") is None:
        message = f"pytest is not installed: run {PROJECT_ROOT}/chunk-sync test, which installs it"
        raise UsageError(message)
    if install_tools:
        _install_tools()
    options = ["--require-tools"] if install_tools else []
    if not args and variable(TEST_DSN) is None:  # a server that is given is shared, its roles too
        options += TWO_PROCESSES
    if postgres is not None:
        options += ["--postgres-bin", _postgres_folder(postgres)]
    os.chdir(PROJECT_ROOT)
    # Not a child: Ctrl-C and SIGTERM are pytest's, which has servers to stop.
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *options, *args])  # noqa: S606 - ourselves


def _postgres_folder(major: int) -> str:
    folder = f"/usr/lib/postgresql/{major}/bin"
    if not shutil.which("postgres", path=folder):
        message = (
            f"no PostgreSQL {major} in {folder}: install Debian's postgresql-{major} ({OLDEST_MAJOR} comes with "
            "--install-tools), or name another folder with --postgres-bin"
        )
        raise UsageError(message)
    return folder


def _install_tools() -> None:
    tools = [tool for tool in TOOLS.values() if tool.is_made_for_us()]
    packages = [tool.package for tool in tools if tool.package and not tool.program()]
    if packages:
        _apt_install(packages)
    files = [tool.requirements for tool in tools if tool.requirements and not tool.has_module()]
    if files:
        chosen = [word for file in files for word in ("-r", file)]
        _run([*_package_installer(), "--no-deps", "--require-hashes", *chosen])
        importlib.invalidate_caches()
    if missing := [tool.name for tool in tools if not tool.available()]:
        message = f"installed, but still not found: {', '.join(missing)}"
        raise UsageError(message)


def _apt_install(packages: Sequence[str]) -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        message = (
            f"--install-tools needs root and Debian's apt-get: install {', '.join(packages)} yourself, "
            "or leave --install-tools out"
        )
        raise UsageError(message)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "-qq", "update"], quiet)
    if unknown := [package for package in packages if not _is_packaged(package)]:
        message = (
            f"this system has no package {', '.join(unknown)} (Debian 12 has): add a source for it, such as "
            "PostgreSQL's own apt repository, or leave --install-tools out"
        )
        raise UsageError(message)
    with _no_server_of_its_own():
        _run(["apt-get", "-qq", "-y", "--no-install-recommends", "install", *packages], quiet)


def _is_packaged(package: str) -> bool:
    found = subprocess.run(  # noqa: S603 - our own words
        ["apt-cache", "-q", "show", "--no-all-versions", package],  # noqa: S607 - wherever apt is
        capture_output=True,
        check=False,
    )
    return found.returncode == 0


@contextmanager
def _no_server_of_its_own() -> Iterator[None]:
    """Keep Debian's packages from making a cluster and starting it: of PostgreSQL we want the programs only."""
    _NO_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
    _NO_CLUSTER.write_text("create_main_cluster = false\n")
    try:
        yield
    finally:
        _NO_CLUSTER.unlink(missing_ok=True)
        with suppress(OSError):  # somebody else's files are in it
            _NO_CLUSTER.parent.rmdir()


def _package_installer() -> list[str]:
    """Find what installs into our environment: an environment that uv made has no pip."""
    for uv in (shutil.which("uv"), str(PROJECT_ROOT / ".uv" / "bin" / "uv")):
        if uv and Path(uv).exists():
            return [uv, "pip", "install", "-q", "-p", sys.executable]
    return [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]


def _run(command: Sequence[str], extra: dict[str, str] | None = None) -> None:
    # What it prints is for people; standard output stays pytest's.
    done = subprocess.run(  # noqa: S603 - apt-get, uv or pip, with our own arguments
        command, cwd=PROJECT_ROOT, env=environment() | (extra or {}), stdout=sys.stderr.fileno(), check=False
    )
    if done.returncode:
        message = f"{' '.join(command[:4])} … failed with exit code {done.returncode}, see above"
        raise UsageError(message)
