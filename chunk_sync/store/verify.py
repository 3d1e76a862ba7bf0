"""What landed, as a verification reads it: the kept bytes themselves are unpacked and hashed again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from chunk_sync.store.database import Database, Row, query
from chunk_sync.store.message_rows import unpacked


@dataclass(frozen=True, slots=True)
class LandedFolder:
    """A folder that a plan has seen."""

    key: str
    path: str
    uidvalidity: int


@dataclass(frozen=True, slots=True)
class LandedMessage:
    """A message at its place: `name` is the source's id, else the UID; no hash: quarantined or its bytes are gone."""

    name: str
    sha256: bytes | None


def landed_folders(database: Database, mailbox_id: int) -> dict[str, LandedFolder]:
    """List the folders of a mailbox by key."""
    rows = database.rows("verify_folders", {"mailbox_id": mailbox_id})
    return {row["key"]: LandedFolder(row["key"], row["path"], row["uidvalidity"]) for row in rows}


def landed_folder(database: Database, mailbox_id: int, key: str, uidvalidity: int) -> list[LandedMessage]:
    """List what landed of a folder's epoch, quarantined messages included; reads every kept byte."""
    parameters = {"mailbox_id": mailbox_id, "key": key, "uidvalidity": uidvalidity}
    with database.transaction() as conn, conn.cursor(name="verify") as cursor:
        cursor.itersize = 200  # raw messages: a bounded number in memory
        return [
            LandedMessage(row["provider_id"] or str(row["uid"]), _hash(row))
            for row in cursor.execute(query("verify_locations"), parameters)
        ]


def _hash(row: Row) -> bytes | None:
    if row["codec"] == "off":  # not kept: all there is to compare is what their hash was
        return row["raw_sha256"]
    if row["data"] is None:
        return None
    raw = unpacked(row["codec"], row["data"])
    return b"" if raw is None else hashlib.sha256(raw).digest()  # b"" equals no hash: reported as different
