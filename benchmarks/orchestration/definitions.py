"""The product's definitions on mailboxes in which there is nothing to fetch, and without its sensors.

The benchmark asks for the runs itself, so that it knows when.
"""

from collections.abc import Collection, Iterator
from typing import Self

import dagster as dg

from chunk_sync import definitions as product  # a second Definitions in this module would not load
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.domain.spans import Span
from chunk_sync.engine.run_chunks import Parts
from chunk_sync.errors import ErrorCategory, ProviderError
from chunk_sync.mail.source import ListedMessage, RawMessage, Snapshot, SourceFolder
from chunk_sync.store.mailboxes import Mailbox

CHUNK_MESSAGES = 25
"""Messages a chunk that are planned; none of them is there when it is fetched."""
REFUSING = "refusing"
"""The name of a mailbox of which one chunk in ten fails for ever."""


class EmptySource:
    """A source that lists messages and has none: a chunk costs its queue, its landing and Dagster."""

    def __init__(self, chunks: int, *, refusing: bool) -> None:
        self._messages = chunks * CHUNK_MESSAGES
        self._refusing = refusing

    def requests(self) -> int:
        """Ask nobody."""
        return 0

    def folders(self) -> list[SourceFolder]:
        """List one folder."""
        return [SourceFolder("INBOX", "INBOX", "inbox")]

    def snapshot(self, folder: SourceFolder) -> Snapshot:
        """Freeze it."""
        return Snapshot(folder, 1, self._messages + 1, self._messages)

    def list_messages(self, snapshot: Snapshot, above_uid: int = 0) -> Iterator[ListedMessage]:
        """List what is not there."""
        return (ListedMessage(uid, 1000) for uid in range(above_uid + 1, snapshot.uid_next))

    def fetch(self, span: Span, known: Collection[int] = (), *, eager: bool = False) -> Iterator[RawMessage]:  # noqa: ARG002 - it has none
        """Fetch nothing, or refuse."""
        if self._refusing and min(span.uids) // CHUNK_MESSAGES % 10 == 0:
            message = "this chunk is refused"
            raise ProviderError(message, ErrorCategory.PERMISSION)
        return iter(())

    def close(self) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_empty(mailbox: Mailbox) -> EmptySource:
    """Open a mailbox; its address says how many chunks it has."""
    return EmptySource(int(mailbox.address.rpartition("/")[2]), refusing=mailbox.name == REFUSING)


class EmptyMailboxes(ChunkSync):
    """The product's resource, its mailboxes replaced."""

    def parts(self) -> Parts:
        """Give what a run works with."""
        return Parts(self.database(), self.settings(), open_empty)


defs = dg.Definitions(
    assets=product.defs.assets,
    jobs=product.defs.jobs,
    resources={**(product.defs.resources or {}), "chunk_sync": EmptyMailboxes()},
    executor=product.defs.executor,
)
