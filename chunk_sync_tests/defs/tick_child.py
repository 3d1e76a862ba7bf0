"""A sensor daemon that can be killed at any moment of a tick: `python -m chunk_sync_tests.defs.tick_child`.

Reads numbers, a line each; for each it forks a child that evaluates all sensors once as Dagster's daemon does, and
that kills itself with SIGKILL before its n-th statement to a database, ours or Dagster's (0: it is left alone).
Answers with the child's exit code and how many statements it made to its end, a line each.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from unittest import mock

import dagster as dg
import psycopg
import sqlalchemy as sa
from dagster._core.remote_origin import CodeLocationOrigin, InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration

import chunk_sync.definitions  # noqa: F401 - once, before any fork


class InProcess(WorkspaceLoadTarget):
    """Our code location in this process: no code server is started."""

    def create_origins(self) -> Sequence[CodeLocationOrigin]:
        """Name it."""
        target = LoadableTargetOrigin(executable_path=sys.executable, module_name="chunk_sync.definitions")
        return [InProcessCodeLocationOrigin(target, location_name="chunk_sync")]


def main() -> None:
    """Serve until standard input ends."""
    for line in sys.stdin:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.write(writing, b"%d" % tick(int(line)))
            except BaseException:  # noqa: BLE001 - a fork does not return into the loop
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        os.close(writing)
        _, status = os.waitpid(pid, 0)
        with os.fdopen(reading) as pipe:
            sys.stdout.write(f"{os.waitstatus_to_exitcode(status)} {pipe.read() or 0}\n")
        sys.stdout.flush()


def tick(fatal: int) -> int:
    """Evaluate every sensor once; what they ask for is queued with Dagster. Returns how many statements it took."""
    logger = logging.getLogger("tick")
    with dg.DagsterInstance.get() as instance, WorkspaceProcessContext(instance, InProcess()) as workspace:
        instance.get_runs_count()  # connected before the count begins
        # Ticks come one after another here: a sensor's interval is never over, by Dagster's clock.
        with mock.patch("dagster._daemon.sensor.is_under_min_interval", return_value=False), dying_at(fatal) as done:
            errors = [error for error in execute_sensor_iteration(workspace, logger, None, None) if error is not None]
        assert not errors, errors
        return done[0]


@contextlib.contextmanager
def dying_at(fatal: int) -> Iterator[list[int]]:
    """Count the statements of both drivers, and die before the fatal one."""
    done = [0]

    def count(*_: object) -> None:
        done[0] += 1
        if done[0] == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    execute = psycopg.Connection.execute

    def counted(self: psycopg.Connection, *words: object, **options: object) -> object:
        count()
        return execute(self, *words, **options)  # type: ignore[arg-type]

    psycopg.Connection.execute = counted  # type: ignore[method-assign]
    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    yield done


if __name__ == "__main__":
    main()
