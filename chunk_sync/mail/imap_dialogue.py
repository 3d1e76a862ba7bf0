"""Questions to an open IMAP connection and their checked answers: one function a command.

Nothing here knows of sources, epochs or retries. Replies that were not asked for (flags changed by
others, new arrivals) are passed over, doubled ones and other people's UIDs too.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

from chunk_sync.domain.listing import FlagTable
from chunk_sync.domain.spans import NO_UIDS, UidRange, UidSet
from chunk_sync.mail.imap_errors import ServerRefused, declinable
from chunk_sync.mail.imap_names import FolderName, decode_modified_utf7, encode_modified_utf7, readable_name
from chunk_sync.mail.imap_reply import (
    Fetched,
    ListedFolder,
    parse_exists,
    parse_fetch,
    parse_foreign_namespaces,
    parse_list,
    parse_object_id,
    parse_search,
    parse_status_number,
    parse_vanished,
)
from chunk_sync.mail.imap_tokens import Reply, ReplyError
from chunk_sync.mail.imap_wire import ImapWire
from chunk_sync.mail.source import ListedMessage

_log = logging.getLogger(__name__)

GMAIL = "X-GM-EXT-1"
"""The capability of servers whose folders are labels: one message is in many, and all are in All Mail."""
UTF8 = "UTF8=ACCEPT"

_NO_MAIL = frozenset({"\\noselect", "\\nonexistent"})
_SECONDS_A_LISTED_MESSAGE = 0.002


@dataclass(frozen=True, slots=True)
class Opened:
    """A folder as EXAMINE describes it; `uid_next` is None when the server did not say."""

    uidvalidity: int
    uid_next: int | None
    exists: int
    highest_modseq: int
    object_id: str | None


def list_folders(wire: ImapWire) -> list[FolderName]:
    """Ask for the folders that can be opened, and which of them are other people's."""
    has_roles = {"SPECIAL-USE", "LIST-EXTENDED"} <= set(wire.capabilities)
    namespaces = wire.start("NAMESPACE") if "NAMESPACE" in wire.capabilities else None
    foreign: tuple[bytes, ...] = ()
    listed: list[ListedFolder] = []
    for reply in wire.replies(wire.start('LIST "" "*"' + (" RETURN (SPECIAL-USE)" if has_roles else ""))):
        foreign += parse_foreign_namespaces(reply)
        folder = parse_list(reply)
        if folder is not None and folder.name and not folder.attributes & _NO_MAIL:
            listed.append(folder)
    if namespaces is not None:
        with declinable():  # then there are none
            for reply in wire.replies(namespaces):
                foreign += parse_foreign_namespaces(reply)
    names = [_folder_name(wire, folder, foreign) for folder in listed]
    return list({name.key: name for name in names}.values())


def _folder_name(wire: ImapWire, folder: ListedFolder, foreign: tuple[bytes, ...]) -> FolderName:
    """Name a folder; its key is the name's bytes as most servers send them, one character a byte."""
    name = encode_modified_utf7(folder.name) if UTF8 in wire.enabled else folder.name
    is_own = not folder.name.startswith(foreign) if foreign else True
    return FolderName(name.decode("latin-1"), _path(name, folder.separator), folder.attributes, is_own=is_own)


def name_on_the_wire(wire: ImapWire, key: str) -> bytes:
    """Write a folder's key as this connection wants it."""
    name = key.encode("latin-1")
    if UTF8 in wire.enabled and (decoded := decode_modified_utf7(name)) is not None:
        return decoded.encode()
    return name


def read_opened(replies: Iterable[Reply]) -> Opened:
    """Read the answer to EXAMINE."""
    uidvalidity = uid_next = exists = modseq = object_id = None
    for reply in replies:
        uidvalidity = parse_status_number(reply, "UIDVALIDITY") or uidvalidity
        uid_next = parse_status_number(reply, "UIDNEXT") or uid_next
        modseq = parse_status_number(reply, "HIGHESTMODSEQ") or modseq
        object_id = parse_object_id(reply) or object_id
        count = parse_exists(reply)
        exists = count if count is not None else exists
    if uidvalidity is None:
        message = "a folder without UIDVALIDITY: its messages cannot be named"
        raise ReplyError(message)
    if exists is None:
        message = "a folder without EXISTS: nobody knows whether it is empty"
        raise ReplyError(message)
    return Opened(uidvalidity, uid_next, exists, modseq or 0, object_id)


def ask_highest_uid(wire: ImapWire) -> int:
    """Ask for the UID of the last message of a folder that is not empty."""
    uids = [fetched.uid for fetched in fetch_replies(wire, wire.start("UID FETCH * (UID)")) if fetched.uid]
    if not uids:
        message = "a folder with messages but without UIDs"
        raise ReplyError(message)
    return max(uids)


def list_window(wire: ImapWire, low: int, high: int, known: set[int]) -> Generator[ListedMessage, None, bool]:
    """List the messages from UID `low` to `high` that are not `known`, and add them to it.

    Returns whether that was all: a server with a limit on messages a command cuts its answer short.
    A message whose size the server does not tell is listed with size 0: it is there.
    """
    without_size: set[int] = set()
    for fetched in fetch_replies(wire, wire.start(f"UID FETCH {low}:{high} (UID RFC822.SIZE INTERNALDATE)")):
        wire.extend(_SECONDS_A_LISTED_MESSAGE)
        uid = fetched.uid
        if uid is None or not low <= uid <= high or uid in known:
            continue
        if fetched.size is None:
            without_size.add(uid)
            continue
        known.add(uid)
        yield ListedMessage(uid, fetched.size, fetched.received_at)
    for uid in sorted(without_size - known):
        known.add(uid)
        yield ListedMessage(uid, 0)
    return b"[MESSAGELIMIT" not in wire.completion.upper()


def ask_flags(wire: ImapWire, last: int, flags: FlagTable, since_modseq: int = 0) -> UidSet:
    """Ask for the flags of all messages up to a UID, or of those that changed since.

    Returns what has vanished since then, as far as the server says so (QRESYNC).
    """
    since, vanished = "", list[UidRange]()
    if since_modseq:
        since = f" (CHANGEDSINCE {since_modseq}{' VANISHED' if 'QRESYNC' in wire.enabled else ''})"
    for reply in wire.replies(wire.start(f"UID FETCH 1:{last} ({flag_items(wire)}){since}")):
        wire.extend(_SECONDS_A_LISTED_MESSAGE)
        fetched = parse_fetch(reply)
        if fetched is None:
            vanished += (parse_vanished(reply) or NO_UIDS).ranges if since else ()
        elif fetched.uid and fetched.uid <= last and fetched.flags is not None:
            flags.add(fetched.uid, fetched.flags)
    return UidSet.joined(vanished).up_to(last)


def ask_uids(wire: ImapWire, low: int, high: int) -> UidSet:
    """Ask which UIDs of a range there are."""
    how = "RETURN (ALL) " if "ESEARCH" in wire.capabilities else ""
    wire.extend(_SECONDS_A_LISTED_MESSAGE * 1000)
    found = NO_UIDS
    for reply in wire.replies(wire.start(f"UID SEARCH {how}UID {low}:{high}")):
        found = parse_search(reply) or found
    return found.up_to(high)


def ask_existing(wire: ImapWire, uids: Iterable[int]) -> set[int]:
    """Ask in two ways which of some messages the folder still has."""
    wanted = frozenset(uids)
    wire.run("NOOP")  # lets the server notice what other sessions expunged
    answers = fetch_replies(wire, wire.start(f"UID FETCH {UidSet.of(sorted(wanted))} (UID)"))
    existing = {fetched.uid for fetched in answers if fetched.uid}
    for reply in wire.replies(wire.start(f"UID SEARCH UID {UidSet.of(sorted(wanted))}")):
        found = parse_search(reply) or NO_UIDS
        existing |= {uid for uid in wanted if uid in found}
    return existing & wanted


def flag_items(wire: ImapWire) -> str:
    """Name the items that say what is noted on a message: on Gmail labels too."""
    return "UID FLAGS X-GM-LABELS" if GMAIL in wire.capabilities else "UID FLAGS"


def fetch_replies(wire: ImapWire, tag: bytes) -> Iterator[Fetched]:
    """Read FETCH replies; a refusal that only means "not all of them" ends the answer like an OK."""
    try:
        for reply in wire.replies(tag):
            fetched = parse_fetch(reply)
            if fetched is not None:
                yield fetched
    except ServerRefused as exc:
        if not (exc.is_expunge or exc.is_cut_short):
            raise
        wire.completion = exc.text.encode("utf-8", "replace")


def _path(name: bytes, separator: str | None) -> str:
    if name.upper() == b"INBOX":
        return "INBOX"
    levels = name.split(separator.encode("latin-1")) if separator else [name]
    return "/".join(readable_name(level) for level in levels if level)
