"""Plan a sync job: look at the mailbox once, freeze it, cut it into chunks, enqueue them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chunk_sync.domain.categorize import categorize_exception
from chunk_sync.domain.chunks import PlannedMessage
from chunk_sync.domain.listing import Changes, FlagTable
from chunk_sync.domain.plan import plan_chunks
from chunk_sync.domain.spans import UidSet
from chunk_sync.engine.connect import SourceOpener
from chunk_sync.engine.look import Look, look_at_mailbox
from chunk_sync.engine.worker import Worker
from chunk_sync.errors import LeaseLost, ProviderError
from chunk_sync.mail.source import ListedMessage
from chunk_sync.settings import Settings
from chunk_sync.store import plans
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import mailbox_by_id
from chunk_sync.store.plans import (
    NO_LOOK,
    ChangeCounts,
    FolderRecord,
    FolderSnapshot,
    JobToPlan,
    PlanResult,
    PlanWriter,
)


@dataclass(frozen=True, slots=True)
class PlanOutcome:
    """What became of one job's plan: `result` when it was planned, else `status` and `error`."""

    job_id: int
    mailbox: str
    status: str
    result: PlanResult | None = None
    error: str | None = None
    category: str | None = None


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
            looks, keys = look_at_mailbox(database, source, mailbox, job, worker)
        worker.check()
        with database.transaction() as conn:
            writer = PlanWriter(conn, job)
            for look in looks:
                _plan_folder(writer, job, look, settings)
            if keys and not job.is_ranged:
                writer.close_others(keys)
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


def _plan_folder(writer: PlanWriter, job: JobToPlan, look: Look, settings: Settings) -> None:
    taken = look.snapshot
    stored = FolderSnapshot(
        taken.folder.key,
        taken.folder.path,
        taken.folder.role,
        taken.uidvalidity,
        taken.message_count,
        taken.object_id,
        look.renamed_id,
    )
    folder = writer.open_folder(stored)
    if taken.uid_next:
        messages, changes = _by_uid(writer, folder, job, look), look.changes
        synced_uid, next_uid = taken.uid_next - 1, taken.uid_next
    else:
        messages, changes, next_uid = _by_name(writer, folder, job, look)
        synced_uid = next_uid - 1
    changed = NO_LOOK
    if changes is not None:
        flags, vanished = writer.apply_changes(folder.id, taken.uidvalidity, changes)
        changed = ChangeCounts(taken.highest_modseq, flags, vanished)
    chunks = plan_chunks(messages, max_messages=settings.chunk_messages, max_bytes=settings.chunk_bytes)
    writer.close_folder(folder, stored, chunks, synced_uid=synced_uid, next_uid=next_uid, changed=changed)


def _by_uid(writer: PlanWriter, folder: FolderRecord, job: JobToPlan, look: Look) -> Iterator[PlannedMessage]:
    """Give what is to be fetched; an incremental job leaves out what an earlier, unfinished one has landed."""
    landed = set[int]()
    if job.sync_type == "incremental":
        landed.update(uid for uid, _ in writer.landed(folder.id, look.snapshot.uidvalidity, folder.synced_uid))
    return (message for message in look.listing.newest_first() if message.uid not in landed)


def _by_name(
    writer: PlanWriter, folder: FolderRecord, job: JobToPlan, look: Look
) -> tuple[list[PlannedMessage], Changes | None, int]:
    """Give what is to be fetched of a source that has no UIDs, what changed of the rest, and the next free UID."""
    known = {i: uid for uid, i in writer.landed(folder.id, look.snapshot.uidvalidity) if i is not None}
    incremental = job.sync_type == "incremental"
    messages, next_uid = _number(look.named, known, folder.next_uid, keep_known=not incremental)
    if job.is_ranged:
        return messages, None, next_uid
    flags = FlagTable()
    there = [(known[m.provider_id], m.flags) for m in look.named if m.provider_id in known]
    for uid, names in there:
        if names is not None:
            flags.add(uid, names)
    return messages, Changes(flags, existing=UidSet.of(uid for uid, _ in there)), next_uid


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
    planned.sort(key=lambda m: m.uid, reverse=True)
    return planned, next_uid + len(new)
