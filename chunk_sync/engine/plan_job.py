"""Plan a sync job: look at the mailbox once, freeze it, cut it into chunks, enqueue them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chunk_sync.domain.categorize import categorize_exception
from chunk_sync.domain.chunks import PlannedMessage
from chunk_sync.domain.plan import folder_rank, in_range, plan_chunks
from chunk_sync.engine.connect import SourceOpener
from chunk_sync.engine.worker import Worker
from chunk_sync.errors import ErrorCategory, ErrorScope, LeaseLost, ProviderError
from chunk_sync.mail.source import ListedMessage, Snapshot, Source, SourceFolder
from chunk_sync.settings import Settings
from chunk_sync.store import plans
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import Mailbox, mailbox_by_id
from chunk_sync.store.plans import FolderCursor, FolderSnapshot, JobToPlan, PlanResult, PlanWriter

_LOOKS = 3


@dataclass(frozen=True, slots=True)
class PlanOutcome:
    """What became of one job's plan: `result` when it was planned, else `status` and `error`."""

    job_id: int
    mailbox: str
    status: str
    result: PlanResult | None = None
    error: str | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class _Listing:
    snapshot: Snapshot
    messages: Sequence[ListedMessage]


def plan_job(
    database: Database, settings: Settings, open_mailbox: SourceOpener, worker: Worker, job_id: int
) -> PlanOutcome | None:
    """Plan one requested job; None when it was not to be planned now.

    A failure is recorded, and the retry policy decides when the plan is tried again; it is not raised.
    """
    job = plans.claim_plan(database, job_id, worker.id)
    if job is None:
        return None
    mailbox = mailbox_by_id(database, job.mailbox_id)
    try:
        with open_mailbox(mailbox) as source:
            listings = _list_mailbox(source, mailbox, job, plans.folder_cursors(database, mailbox.id), worker)
        worker.check()
        with database.transaction() as conn:
            writer = PlanWriter(conn, job)
            for listing in listings:
                _plan_folder(writer, job, listing, settings)
            result = writer.finish(worker.id)
    except LeaseLost as error:
        return PlanOutcome(job.id, mailbox.name, "lost", error=str(error))
    except Exception as error:  # noqa: BLE001 - recorded with its category; the policy decides what follows
        category = categorize_exception(error)
        retry_after = error.retry_after if isinstance(error, ProviderError) else None
        status = plans.fail_plan(
            database, job.id, worker.id, category=category, message=str(error), retry_after=retry_after
        )
        return PlanOutcome(job.id, mailbox.name, status or "lost", error=str(error), category=category.value)
    return PlanOutcome(job.id, mailbox.name, result.status, result=result)


def _list_mailbox(
    source: Source, mailbox: Mailbox, job: JobToPlan, cursors: dict[str, FolderCursor], worker: Worker
) -> list[_Listing]:
    folders = [f for f in source.folders() if mailbox.folders is None or f.path in mailbox.folders]
    listings: list[_Listing] = []
    for folder in sorted(folders, key=lambda f: folder_rank(f.role, f.path)):
        worker.check()
        listings.append(_list_folder(source, folder, job, cursors.get(folder.key)))
    return listings


def _list_folder(source: Source, folder: SourceFolder, job: JobToPlan, cursor: FolderCursor | None) -> _Listing:
    looks = 0
    while True:
        looks += 1
        snapshot = source.snapshot(folder)
        same_epoch = cursor is not None and cursor.uidvalidity == snapshot.uidvalidity
        above = cursor.synced_uid if cursor is not None and same_epoch and job.sync_type == "incremental" else 0
        listed = list(source.list_messages(snapshot, above))
        if above or len(listed) >= snapshot.message_count:
            return _Listing(snapshot, [m for m in listed if in_range(m.received_at, job.sync_from, job.sync_to)])
        if looks == _LOOKS:
            # Deletions between snapshot and listing explain it once; a server that keeps saying so is not believed.
            message = f"folder {folder.path}: {snapshot.message_count} messages announced, {len(listed)} listed"
            raise ProviderError(message, ErrorCategory.TEMPORARY, scope=ErrorScope.FOLDER)


def _plan_folder(writer: PlanWriter, job: JobToPlan, listing: _Listing, settings: Settings) -> None:
    taken = listing.snapshot
    stored = FolderSnapshot(
        taken.folder.key, taken.folder.path, taken.folder.role, taken.uidvalidity, taken.message_count
    )
    folder = writer.open_folder(stored)
    incremental = job.sync_type == "incremental"
    if taken.uid_next:
        above = folder.synced_uid if incremental else 0
        landed = {uid for uid, _ in writer.landed(folder.id, taken.uidvalidity, above)} if incremental else set[int]()
        messages = [PlannedMessage(m.uid, m.size) for m in listing.messages if m.uid not in landed]
        synced_uid, next_uid = taken.uid_next - 1, taken.uid_next
    else:
        known = {i: uid for uid, i in writer.landed(folder.id, taken.uidvalidity) if i is not None}
        messages, next_uid = _number(listing.messages, known, folder.next_uid, keep_known=not incremental)
        synced_uid = next_uid - 1
    chunks = list(plan_chunks(messages, max_messages=settings.chunk_messages, max_bytes=settings.chunk_bytes))
    writer.close_folder(folder, stored, chunks, synced_uid=synced_uid, next_uid=next_uid)


def _number(
    listed: Iterable[ListedMessage], known: dict[str, int], next_uid: int, *, keep_known: bool
) -> tuple[list[PlannedMessage], int]:
    """Give UIDs to messages of a source that has none: known ones keep theirs, new ones follow by date."""
    planned: list[PlannedMessage] = []
    new: list[ListedMessage] = []
    for message in listed:
        uid = known.get(message.provider_id or "")
        if uid is None:
            new.append(message)
        elif keep_known:
            planned.append(PlannedMessage(uid, message.size, message.provider_id))
    new.sort(key=lambda m: (m.received_at.timestamp() if m.received_at else 0.0, m.provider_id or ""))
    planned.extend(PlannedMessage(next_uid + i, m.size, m.provider_id) for i, m in enumerate(new))
    return planned, next_uid + len(new)
