"""The benchmark's definitions, their runs each in an interpreter of its own, as Dagster starts them by itself."""

import multiprocessing

from benchmarks.orchestration.definitions import defs

vars(multiprocessing.get_context("spawn")).pop("Process", None)

__all__ = ["defs"]
