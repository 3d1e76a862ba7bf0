"""Mail that has landed: raw messages go the way of a chunk, through the parser and into the tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from chunk_sync.domain.chunks import LandedCounts
from chunk_sync.engine.convert import Conversion
from chunk_sync.mail.parse import ParseLimits
from chunk_sync.mail.source import RawMessage
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import Mailbox
from chunk_sync.store.messages import AttemptFigures, Page, land_chunk
from chunk_sync_tests.factory import claim, make_job, make_mailbox, open_worker

RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)
KEEP = Conversion(3, ParseLimits())


def land_mail(
    database: Database,
    raws: Sequence[bytes | None],
    *,
    name: str = "box",
    tenant: str = "default",
    conversion: Conversion = KEEP,
) -> Mailbox:
    """Land messages in the inbox of a new mailbox, at UIDs from 1 on; None is one that is too large."""
    box = make_mailbox(database, name, tenant=tenant)
    job = make_job(database, box, chunks=1, emails=len(raws))
    (chunk,) = claim(database, job, open_worker(database, f"worker of {tenant} {name}"))
    fetched = [
        RawMessage(uid=uid, raw=raw, size=10**9 if raw is None else len(raw), flags=(), received_at=RECEIVED)
        for uid, raw in enumerate(raws, 1)
    ]
    rows, places = conversion.to_rows(fetched, "inbox")
    land_chunk(database, chunk, Page(rows, places, {}), LandedCounts(), (), lambda: AttemptFigures(5, None, {}))
    return box
