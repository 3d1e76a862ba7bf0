"""Our errors as a run's page shows them."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from chunk_sync.errors import DatabaseUnavailable, UsageError


@contextmanager
def plain_failures() -> Iterator[None]:
    """Fail a run on bad input with our one line, and at once: trying again would not help.

    A database that is away goes through as it is: it may be back for the op's next try.
    """
    try:
        yield
    except DatabaseUnavailable:
        raise
    except UsageError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
