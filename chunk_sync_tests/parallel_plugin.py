"""Tests in two processes (`-n 2`): what starts whole installations is one process's, first and one after another.

Two installations at once take twice the time, while tests of another kind mostly wait. Those go by module, so that what
a module's fixtures start is started once. (xdist's own groups have no effect with pytest 9.2.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

INSTALLATIONS = ("chunk_sync_tests/e2e/", "chunk_sync_tests/deploy/test_two_machines.py")


def scope_of(nodeid: str) -> str:
    """Name what a test is scheduled together with."""
    return "installations" if nodeid.startswith(INSTALLATIONS) else nodeid.partition("::")[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long ones first: nobody is to wait for them at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(INSTALLATIONS))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Schedule by scope, in the order of the collection."""
    from xdist.scheduler import LoadScopeScheduling

    class ByScope(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid)

    config.option.loadscopereorder = False
    return ByScope(config, log)
