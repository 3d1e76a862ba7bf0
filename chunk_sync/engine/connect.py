"""Open the source behind a mailbox."""

from __future__ import annotations

from collections.abc import Callable

from chunk_sync.engine.credentials import reveal
from chunk_sync.mail.address import parse_address
from chunk_sync.mail.connect import open_source
from chunk_sync.mail.source import Source
from chunk_sync.settings import Settings
from chunk_sync.store.mailboxes import Mailbox

SourceOpener = Callable[[Mailbox], Source]


def source_opener(settings: Settings) -> SourceOpener:
    """Give the function that opens a mailbox's source; it raises ProviderError when that fails."""

    def open_mailbox(mailbox: Mailbox) -> Source:
        return open_source(
            parse_address(mailbox.address),
            reveal(mailbox.credential, settings),
            timeout=settings.source_timeout_seconds,
            max_message_bytes=settings.max_message_bytes,
        )

    return open_mailbox
