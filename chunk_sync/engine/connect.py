"""Open the source behind a mailbox. What it takes is imported with the first one: Dagster's code server opens none."""

from __future__ import annotations

from collections.abc import Callable

from chunk_sync.mail.source import Source
from chunk_sync.settings import Settings
from chunk_sync.store.mailboxes import Mailbox

SourceOpener = Callable[[Mailbox], Source]


def source_opener(settings: Settings) -> SourceOpener:
    """Give the function that opens a mailbox's source; it raises ProviderError when that fails."""

    def open_mailbox(mailbox: Mailbox) -> Source:
        from chunk_sync.engine.credentials import reveal  # noqa: PLC0415
        from chunk_sync.mail.address import parse_address  # noqa: PLC0415
        from chunk_sync.mail.connect import open_source  # noqa: PLC0415

        return open_source(
            parse_address(mailbox.address),
            reveal(mailbox.credential, settings),
            timeout=settings.source_timeout_seconds,
            max_message_bytes=settings.max_message_bytes,
        )

    return open_mailbox
