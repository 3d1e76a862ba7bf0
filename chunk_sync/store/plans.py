"""Plans: a sync job becomes chunks and queue rows, in one transaction."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from chunk_sync.domain.chunks import ChunkPlan
from chunk_sync.domain.listing import Changes
from chunk_sync.domain.spans import UidSet
from chunk_sync.errors import ErrorCategory
from chunk_sync.store.database import Connection, Database, query
from chunk_sync.store.message_rows import JOINT

T = TypeVar("T")

_FLAGS_A_STATEMENT = 10_000
_CHUNKS_A_STATEMENT = 1_000


@dataclass(frozen=True, slots=True)
class JobToPlan:
    """A sync job as its planner sees it."""

    id: int
    tenant_id: int
    mailbox_id: int
    sync_type: str
    sync_from: datetime | None
    sync_to: datetime | None

    @property
    def is_ranged(self) -> bool:
        """Say whether only a range of dates was asked for: such a job moves no cursor."""
        return self.sync_from is not None or self.sync_to is not None


@dataclass(frozen=True, slots=True)
class FolderCursor:
    """What the last plan knew of a folder: all UIDs up to `synced_uid` of this epoch have landed.

    Flags are known up to `highest_modseq` (0: of none); `message_count` were there.
    """

    id: int
    uidvalidity: int
    synced_uid: int
    message_count: int = 0
    highest_modseq: int = 0
    object_id: str | None = None
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class FolderRecord:
    """A folder locked for a plan: `next_uid` numbers messages of sources without UIDs."""

    id: int
    next_uid: int
    synced_uid: int


@dataclass(frozen=True, slots=True)
class FolderSnapshot:
    """A folder's snapshot, ready to be stored."""

    key: str
    path: str
    role: str | None
    uidvalidity: int
    message_count: int
    object_id: str | None = None
    renamed_id: int | None = None
    """The row of a folder that had another name until now."""


@dataclass(frozen=True, slots=True)
class ChangeCounts:
    """What a look at a folder's changes changed here; `highest_modseq` None: nobody has looked."""

    highest_modseq: int | None = None
    flags: int = 0
    vanished: int = 0


NO_LOOK = ChangeCounts()


@dataclass(frozen=True, slots=True)
class PlanResult:
    """What a plan became; flags and deletions are done with it, chunks remain to be done."""

    status: str
    chunks: int
    emails: int
    bytes: int
    flags_changed: int = 0
    vanished: int = 0


def due_plans(database: Database, *, limit: int, mark_seconds: float) -> list[tuple[int, int, datetime]]:
    """Take jobs that wait for a plan: (job id, plan attempts so far, marked until). Marked: not given twice."""
    rows = database.rows("plan_due", {"limit": limit, "mark": timedelta(seconds=mark_seconds)})
    return [(row["id"], row["plan_attempts"], row["plan_dispatched_until"]) for row in rows]


def claim_plan(database: Database, job_id: int, worker_id: int) -> JobToPlan | None:
    """Begin a plan; None when the job is not to be planned now (taken, done, not due)."""
    with database.transaction() as conn:
        answer = conn.execute("SELECT claim_plan(%s, %s) AS attempt", (job_id, worker_id)).fetchone()
        if answer is None or answer["attempt"] is None:
            return None
        row = conn.execute(query("plan_job"), {"job_id": job_id}).fetchone()
    assert row is not None  # noqa: S101 - claimed in this transaction
    return JobToPlan(row["id"], row["tenant_id"], row["mailbox_id"], row["sync_type"], row["sync_from"], row["sync_to"])


def folder_cursors(database: Database, mailbox_id: int) -> dict[str, FolderCursor]:
    """Read the cursors of a mailbox by folder key."""
    rows = database.rows("plan_folders", {"mailbox_id": mailbox_id})
    return {
        row["key"]: FolderCursor(
            row["id"],
            row["uidvalidity"],
            row["synced_uid"],
            row["message_count"],
            row["highest_modseq"],
            row["object_id"],
            row["gone_at"] is not None,
        )
        for row in rows
    }


def has_landed(database: Database, folder_id: int, uidvalidity: int) -> bool:
    """Tell whether anything of a folder's epoch has ever landed, or is quarantined."""
    return bool(database.rows("plan_landed", {"folder_id": folder_id, "uidvalidity": uidvalidity}))


def count_live(database: Database, folder_id: int, uidvalidity: int, without: UidSet) -> int:
    """Count the messages that should be in a folder, but for some UIDs; reads all that we know of it."""
    parameters = {"folder_id": folder_id, "uidvalidity": uidvalidity, "vanished": _multirange(without)}
    return database.rows("plan_live", parameters)[0]["live"]


def fail_plan(
    database: Database,
    job_id: int,
    worker_id: int,
    *,
    category: ErrorCategory,
    message: str,
    retry_after: float | None,
) -> str | None:
    """Report a failed plan; returns the job's status (requested: tried again later), None when it is not ours."""
    rows = database.execute(
        "SELECT status::text FROM fail_plan(%s, %s, %s::error_category, %s, %s::integer)",
        (
            job_id,
            worker_id,
            category.value,
            message.replace("\0", "\ufffd"),
            None if retry_after is None else int(retry_after * 1000),
        ),
    )
    return rows[0]["status"] if rows else None


class PlanWriter:
    """Writes one job's plan inside one transaction; nothing is seen of it before `finish` and the commit."""

    def __init__(self, conn: Connection, job: JobToPlan) -> None:
        self._conn = conn
        self._job = job
        self._chunks = 0
        self._emails = 0
        self._bytes = 0
        self._flags = 0
        self._vanished = 0

    def open_folder(self, snapshot: FolderSnapshot) -> FolderRecord:
        """Store a folder's snapshot and lock its row."""
        if snapshot.renamed_id is not None:
            self._conn.execute(query("plan_folder_rename"), {"folder_id": snapshot.renamed_id, "key": snapshot.key})
        row = self._conn.execute(
            query("plan_folder_save"),
            {
                "tenant_id": self._job.tenant_id,
                "mailbox_id": self._job.mailbox_id,
                "key": snapshot.key,
                "path": snapshot.path,
                "role": snapshot.role,
                "uidvalidity": snapshot.uidvalidity,
                "message_count": snapshot.message_count,
                "object_id": snapshot.object_id,
            },
        ).fetchone()
        assert row is not None  # noqa: S101 - INSERT ... RETURNING
        return FolderRecord(row["id"], row["next_uid"], row["synced_uid"])

    def landed(self, folder_id: int, uidvalidity: int, above_uid: int = 0) -> Iterator[tuple[int, str | None]]:
        """Stream what has landed of a folder's epoch: (uid, the source's id)."""
        parameters = {"folder_id": folder_id, "uidvalidity": uidvalidity, "above_uid": above_uid}
        with self._conn.cursor(name="landed") as cursor:
            cursor.itersize = 20_000
            for row in cursor.execute(query("plan_known"), parameters):
                yield row["uid"], row["provider_id"]

    def apply_changes(self, folder_id: int, uidvalidity: int, changes: Changes) -> tuple[int, int]:
        """Bring flags and deletions up to date; returns how many messages changed flags, and how many went or came."""
        place = {"folder_id": folder_id, "uidvalidity": uidvalidity}
        flags = vanished = 0
        for batch in _batches(changes.flags, _FLAGS_A_STATEMENT):
            uids = [uid for uid, _ in batch]
            joined = [JOINT.join(names) for _, names in batch]
            flags += self._conn.execute(query("plan_flags"), place | {"uids": uids, "flags": joined}).rowcount
        for name, uids in (("plan_vanished", changes.vanished or None), ("plan_existing", changes.existing)):
            if uids is not None:
                vanished += self._conn.execute(query(name), place | {"uids": _multirange(uids)}).rowcount
        return flags, vanished

    def close_folder(
        self,
        folder: FolderRecord,
        snapshot: FolderSnapshot,
        chunks: Iterable[ChunkPlan],
        *,
        synced_uid: int,
        next_uid: int,
        changed: ChangeCounts = NO_LOOK,
    ) -> None:
        """Store a folder's chunks; `synced_uid` becomes its cursor when the job is complete."""
        before = self._emails, self._bytes
        for batch in _batches(chunks, _CHUNKS_A_STATEMENT):
            self._insert_chunks(folder.id, snapshot.uidvalidity, batch)
        self._flags += changed.flags
        self._vanished += changed.vanished
        self._conn.execute(
            query("plan_folder_done"),
            {
                "job_id": self._job.id,
                "folder_id": folder.id,
                "tenant_id": self._job.tenant_id,
                "uidvalidity": snapshot.uidvalidity,
                "synced_uid": synced_uid,
                "next_uid": next_uid,
                "message_count": snapshot.message_count,
                "planned_messages": self._emails - before[0],
                "planned_bytes": self._bytes - before[1],
                "highest_modseq": changed.highest_modseq,
                "flags_changed": changed.flags,
                "vanished": changed.vanished,
            },
        )

    def close_others(self, keys: Sequence[str]) -> None:
        """Note that the source has no other folders than these."""
        parameters = {"mailbox_id": self._job.mailbox_id, "keys": list(keys)}
        self._vanished += self._conn.execute(query("plan_folders_gone"), parameters).rowcount

    def _insert_chunks(self, folder_id: int, uidvalidity: int, chunks: Iterable[ChunkPlan]) -> None:
        rows: list[dict[str, object]] = []
        for chunk in chunks:
            rows.append(
                {
                    "tenant_id": self._job.tenant_id,
                    "mailbox_id": self._job.mailbox_id,
                    "job_id": self._job.id,
                    "chunk_index": self._chunks,
                    "folder_id": folder_id,
                    "uidvalidity": uidvalidity,
                    "uids": str(chunk.uids),
                    "provider_ids": None if chunk.provider_ids is None else list(chunk.provider_ids),
                    "start_offset": self._emails,
                    "end_offset": self._emails + chunk.emails - 1,
                    "emails": chunk.emails,
                    "bytes": chunk.bytes,
                }
            )
            self._chunks += 1
            self._emails += chunk.emails
            self._bytes += chunk.bytes
        if rows:
            with self._conn.cursor() as cursor:
                cursor.executemany(query("plan_chunk_insert"), rows)

    def finish(self, worker_id: int) -> PlanResult:
        """Enqueue the chunks and open the job; raises LeaseLost when the plan is not ours any more."""
        self._conn.execute(query("plan_enqueue"), {"job_id": self._job.id})
        row = self._conn.execute("SELECT finish_plan(%s, %s)::text AS status", (self._job.id, worker_id)).fetchone()
        assert row is not None  # noqa: S101 - a function call
        return PlanResult(row["status"], self._chunks, self._emails, self._bytes, self._flags, self._vanished)


def _multirange(uids: UidSet) -> str:
    """Write a set of UIDs as PostgreSQL does."""
    return "{" + ",".join(f"[{low},{high + 1})" for low, high in uids.ranges) + "}"


def _batches(things: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(things)
    while batch := list(itertools.islice(rest, size)):
        yield batch
