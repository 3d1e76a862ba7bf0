"""A fuzz program: atheris (libFuzzer for Python) round a check, and the same check for single files.

`python -m chunk_sync_tests.fuzz.NAME [seconds] [-libfuzzer_option=…] [folder]` fuzzes; a folder keeps what was learned
between runs. `python -m chunk_sync_tests.fuzz.NAME FILE…` checks files, without atheris: that is how a finding is
reproduced. Findings are written to the folder that `CHUNK_SYNC_FINDINGS` names, else to the current one.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

LARGEST = 1 << 16
"""The longest input, in bytes: what costs the square of its length shows at this one."""
SECONDS = 4.0
"""The time, of the processor, that one input may take."""
FINDINGS = "CHUNK_SYNC_FINDINGS"
_INSTRUMENTED_SECONDS = 4 * SECONDS
_MOST_MEGABYTES = 512
_DEFAULT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Target:
    """What is fuzzed: its module's name, a check that raises on a finding, where to begin, and words to mix in."""

    module: str
    check: Callable[[bytes], None]
    seeds: Sequence[bytes]
    words: Sequence[bytes]

    def check_in_time(self, data: bytes, seconds: float = SECONDS) -> None:
        """Check one input; raises AssertionError when that takes longer than `seconds`."""
        started = time.process_time()
        self.check(data)
        taken = time.process_time() - started
        assert taken < seconds, f"{len(data)} bytes took {taken:.1f} s"


def main(load: Callable[[], Target], packages: Sequence[str]) -> None:
    """Be the program; `load` makes the target once `packages`, which tell atheris their branches, may be imported."""
    arguments = sys.argv[1:]
    files = [Path(argument) for argument in arguments if Path(argument).is_file()]
    if files:
        _check_files(load(), files)
        return
    seconds = int(arguments.pop(0)) if arguments and arguments[0].isdecimal() else _DEFAULT_SECONDS
    _fuzz(load, packages, seconds, arguments)


def _check_files(target: Target, files: Iterable[Path]) -> None:
    for file in files:
        target.check_in_time(file.read_bytes())
        sys.stdout.write(f"{file}: nothing found\n")


def _fuzz(load: Callable[[], Target], packages: Sequence[str], seconds: int, options: Sequence[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=list(packages)):
        target = load()
    findings = Path(os.environ.get(FINDINGS) or ".").resolve()
    with tempfile.TemporaryDirectory() as scratch:
        seeds, words = Path(scratch) / "seeds", Path(scratch) / "words"
        write_seeds(seeds, target.seeds)
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words), "ascii")
        learned = [option for option in options if not option.startswith("-")] or [_made(Path(scratch) / "learned")]
        atheris.Setup(
            [
                target.module,
                f"-max_total_time={seconds}",
                f"-max_len={LARGEST}",
                f"-rss_limit_mb={_inherited_megabytes() + _MOST_MEGABYTES}",
                f"-artifact_prefix={findings}/finding-",
                f"-dict={words}",
                "-timeout=60",
                "-print_final_stats=1",
                *[option for option in options if option.startswith("-")],
                *learned,
                str(seeds),
            ],
            lambda data: _check(target, findings, data),
        )
        atheris.Fuzz()


def _inherited_megabytes() -> int:
    """Measure what libFuzzer takes for ours: the most memory of whoever started this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _check(target: Target, findings: Path, data: bytes) -> None:
    try:
        target.check_in_time(data, _INSTRUMENTED_SECONDS)
    except BaseException:
        # libFuzzer writes the file itself, under this name.
        file = findings / f"finding-crash-{hashlib.sha1(data).hexdigest()}"
        sys.stderr.write(f"\nto reproduce: python -m {target.module} {file}\n")
        raise


def write_seeds(folder: Path, seeds: Iterable[bytes]) -> None:
    """Write a corpus: one file an input, those that are too long left out."""
    folder.mkdir()
    for number, seed in enumerate(seed for seed in seeds if len(seed) <= LARGEST):
        (folder / f"{number:04}").write_bytes(seed)


def _made(folder: Path) -> str:
    folder.mkdir()
    return str(folder)


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)
