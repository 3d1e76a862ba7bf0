"""After a run of ours: whether every message is there byte for byte, and where its time went."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import zstandard

from benchmarks.mail.corpus import Corpus, digest_of
from chunk_sync.store.database import Database

_RAW = """
    SELECT r.codec, r.data FROM message_locations AS l
    JOIN folders AS f ON f.id = l.folder_id
    JOIN mailboxes AS b ON b.id = f.mailbox_id AND b.name = %s
    JOIN messages AS m ON m.id = l.message_id
    JOIN message_raw AS r ON r.tenant_id = m.tenant_id AND r.sha256 = m.raw_sha256
"""
_TIMES = """
    SELECT extract(EPOCH FROM j.completed_at - j.created_at)::float8 AS whole,
        extract(EPOCH FROM max(q.completed_at) - min(q.started_at))::float8 AS inside,
        sum(extract(EPOCH FROM q.completed_at - q.started_at))::float8 AS attempts,
        extract(EPOCH FROM min(q.started_at) - j.created_at)::float8 AS before,
        count(*) AS chunks, count(*) FILTER (WHERE q.status <> 'completed') AS unfinished,
        (SELECT count(DISTINCT h.worker_id) FROM chunked_sync_health_monitoring AS h WHERE h.sync_job_id = j.id) AS runs
    FROM sync_jobs AS j JOIN chunk_processing_queue AS q ON q.sync_job_id = j.id
    WHERE j.id = %s GROUP BY j.id
"""
_STAGES = """
    SELECT t.key, sum(t.value::float8) / 1000 AS seconds
    FROM chunked_sync_health_monitoring AS h CROSS JOIN jsonb_each_text(h.metadata) AS t
    WHERE h.sync_job_id = %s AND t.key LIKE '%%\\_ms' GROUP BY t.key ORDER BY t.key
"""
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Times:
    """A job's seconds: from its request to its end, and from the first claim to the last completion.

    `attempts` is the sum over all attempts, which overlap, from claim to completion; `stages` its parts, as the
    attempts noted them. What is left is landing, but for the commit itself.
    """

    whole: float
    inside: float
    before: float
    attempts: float
    chunks: int
    unfinished: int
    runs: int
    stages: dict[str, float] = field(default_factory=dict[str, float])


def times(database: Database, job_id: int) -> Times:
    """Read a job's times."""
    row = database.execute(_TIMES, (job_id,))[0]
    stages = {r["key"].removesuffix("_ms"): r["seconds"] for r in database.execute(_STAGES, (job_id,))}
    noted = sum(seconds for name, seconds in stages.items() if name != "land")
    stages["land"] = max(0.0, row["attempts"] - noted)  # an attempt cannot note how long its last page takes
    return Times(**row, stages=stages)


def difference(database: Database, mailbox: str, corpus: Corpus) -> str | None:
    """Compare all raw messages with the mailbox; None when they are the same, else what is wrong."""
    hashes: list[str] = []
    unpack = zstandard.ZstdDecompressor()
    with database.transaction() as conn, conn.cursor(name="raw") as cursor:
        cursor.itersize = _BATCH
        for row in cursor.execute(_RAW, (mailbox,)):
            raw = unpack.decompress(row["data"]) if row["codec"] == "zstd" else row["data"]
            hashes.append(hashlib.sha256(raw).hexdigest())
    if len(hashes) != corpus.messages:
        return f"{len(hashes)} of {corpus.messages} messages landed"
    return None if digest_of(hashes) == corpus.digest else "the bytes that landed are not those of the mailbox"
