"""The look at a mailbox that comes before a plan: what is there, what is new, what changed since the last one.

Everything that needs the mail server happens here, so that the plan itself is one short transaction. No server is
believed: what it says has vanished is checked against how many messages it says are there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chunk_sync.domain.listing import Changes, Listing
from chunk_sync.domain.plan import folder_rank, in_range
from chunk_sync.engine.worker import Worker
from chunk_sync.errors import ErrorCategory, ErrorScope, ProviderError
from chunk_sync.mail.source import ListedMessage, Snapshot, Source, SourceFolder
from chunk_sync.store import plans
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import Mailbox
from chunk_sync.store.plans import FolderCursor, JobToPlan

_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Look:
    """What was found in a folder: `listing` by UID, or `named` where the source has none.

    `changes` None: nobody looked, and the cursor of changes stays. `renamed_id`: the folder had another name.
    """

    snapshot: Snapshot
    listing: Listing
    named: Sequence[ListedMessage]
    changes: Changes | None
    renamed_id: int | None


def look_at_mailbox(
    database: Database, source: Source, mailbox: Mailbox, job: JobToPlan, worker: Worker
) -> tuple[list[Look], list[str]]:
    """Look at the folders that a job covers, and list the keys of all that the source has.

    Raises ProviderError.
    """
    cursors = plans.folder_cursors(database, mailbox.id)
    listed = source.folders()
    keys = [folder.key for folder in listed]
    looks: list[Look] = []
    for folder in sorted(chosen_folders(listed, mailbox), key=lambda f: folder_rank(f.role, f.path)):
        worker.check()
        looks.append(_look_at_folder(database, source, folder, job, cursors, keys))
    return looks, keys


def chosen_folders(listed: Sequence[SourceFolder], mailbox: Mailbox) -> list[SourceFolder]:
    """Pick the folders that a mailbox syncs: those that it names, else all that are its own."""
    if mailbox.folders is not None:
        return [folder for folder in listed if folder.path in mailbox.folders]
    return [folder for folder in listed if folder.by_default]


def _look_at_folder(
    database: Database,
    source: Source,
    folder: SourceFolder,
    job: JobToPlan,
    cursors: Mapping[str, FolderCursor],
    keys: Sequence[str],
) -> Look:
    looks = 0
    while True:
        looks += 1
        snapshot = source.snapshot(folder)
        cursor = cursors.get(folder.key)
        renamed = _former(snapshot, cursors, keys) if cursor is None else None
        cursor = cursor or renamed
        if cursor is not None and cursor.uidvalidity != snapshot.uidvalidity:
            cursor = None  # another epoch: nothing that we know of the folder holds
        above = cursor.synced_uid if cursor is not None and job.sync_type == "incremental" else 0
        listing, named, seen = _list(source, snapshot, above, job)
        if above or seen >= snapshot.message_count:
            changes = _changes(database, source, snapshot, job, cursor, listing, is_whole=not above)
            return Look(snapshot, listing, named, changes, renamed.id if renamed else None)
        if looks == _LOOKS:
            # Deletions between snapshot and listing explain it once; a server that keeps saying so is not believed.
            message = f"folder {folder.path}: {snapshot.message_count} messages announced, {seen} listed"
            raise ProviderError(message, ErrorCategory.TEMPORARY, scope=ErrorScope.FOLDER)


def _former(snapshot: Snapshot, cursors: Mapping[str, FolderCursor], keys: Sequence[str]) -> FolderCursor | None:
    """Find a folder that is now called otherwise: the server's own name for it is the same, and the old one is gone."""
    if snapshot.object_id is None:
        return None
    found = (c for key, c in cursors.items() if c.object_id == snapshot.object_id and key not in keys)
    return next(found, None)


def _list(source: Source, snapshot: Snapshot, above: int, job: JobToPlan) -> tuple[Listing, list[ListedMessage], int]:
    """List what the job covers; returns also how many messages the source listed."""
    listing, named = Listing(), list[ListedMessage]()
    seen = 0
    for message in source.list_messages(snapshot, above):
        seen += 1
        if not in_range(message.received_at, job.sync_from, job.sync_to):
            continue
        if snapshot.uid_next:
            listing.add(message.uid, message.size)
        else:
            named.append(message)
    return listing, named, seen


def _changes(
    database: Database,
    source: Source,
    snapshot: Snapshot,
    job: JobToPlan,
    cursor: FolderCursor | None,
    listing: Listing,
    *,
    is_whole: bool,
) -> Changes | None:
    """Find out which flags changed and which messages are gone; None when nobody looked."""
    if job.is_ranged or not snapshot.uid_next:
        return None
    changes = Changes()
    if cursor is None or _is_unchanged(snapshot, cursor):
        return changes
    if not plans.has_landed(database, cursor.id, snapshot.uidvalidity):  # what lands brings its flags
        return changes
    if snapshot.highest_modseq or not is_whole:  # else each chunk brings the flags of its messages
        changes = source.changes(snapshot, snapshot.uid_next - 1, cursor.highest_modseq)
    if is_whole:
        return dataclasses.replace(changes, existing=listing.uids())
    live = plans.count_live(database, cursor.id, snapshot.uidvalidity, changes.vanished)
    if live + len(listing) == snapshot.message_count:
        return changes
    return dataclasses.replace(changes, existing=source.existing(snapshot))


def _is_unchanged(snapshot: Snapshot, cursor: FolderCursor) -> bool:
    """Tell from the numbers alone that nothing has happened since the last plan: needs a server that counts changes."""
    return (
        0 < snapshot.highest_modseq == cursor.highest_modseq
        and snapshot.uid_next - 1 == cursor.synced_uid
        and snapshot.message_count == cursor.message_count
        and not cursor.is_gone
    )
