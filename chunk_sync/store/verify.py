"""What landed, as a verification reads it."""

from __future__ import annotations

from dataclasses import dataclass

from chunk_sync.store.database import Database


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
    """List what landed of a folder's epoch, quarantined messages included."""
    rows = database.rows("verify_locations", {"mailbox_id": mailbox_id, "key": key, "uidvalidity": uidvalidity})
    return [LandedMessage(row["provider_id"] or str(row["uid"]), row["sha256"]) for row in rows]
