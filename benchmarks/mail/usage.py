"""What processes used: CPU seconds and memory of a process with all that descend from it."""

from __future__ import annotations

import contextlib
import threading
from typing import Self

import psutil

_LOOK_SECONDS = 1.0


def cpu_seconds(root: int, *, without: int | None = None) -> float:
    """Sum the CPU seconds of a process, its living descendants, and those that were waited for; `without` a branch."""
    total = 0.0
    for process in reversed(_tree(root, without)):  # children first: who ends meanwhile is counted by its parent
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _tree(root: int, without: int | None = None) -> list[psutil.Process]:
    try:
        top = psutil.Process(root)
        found = [top, *top.children(recursive=True)]
    except psutil.Error:
        return []
    left_out = {process.pid for process in _tree(without)} if without else set[int]()
    return [process for process in found if process.pid not in left_out]


class MemoryWatch:
    """Looks each second how much memory the processes of a tree have together: `with MemoryWatch(pid) as watch`.

    Pages that they share are counted for each.
    """

    def __init__(self, root: int, *, without: int | None = None) -> None:
        self.peak_mb = 0.0
        self._root, self._without = root, without
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.is_set():
            total = 0
            for process in _tree(self._root, self._without):
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
            self.peak_mb = max(self.peak_mb, total / (1 << 20))
            self._over.wait(_LOOK_SECONDS)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
