"""The IMAP source: folders, snapshots, listings and spans of one account. It never changes a mailbox.

Folders are opened with EXAMINE and bodies read with BODY.PEEK[], so no flag moves. Messages are named
by UID within a UIDVALIDITY and yielded as they arrive, so that a cut keeps what came before it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Self

from chunk_sync.domain.listing import Changes, FlagTable
from chunk_sync.domain.spans import NO_UIDS, Span, UidRange, UidSet
from chunk_sync.errors import ErrorCategory, ErrorScope, ProviderError
from chunk_sync.mail import imap_dialogue as dialogue
from chunk_sync.mail.imap_errors import Stage, translated
from chunk_sync.mail.imap_fetch import (
    Early,
    bodies_ahead,
    fetch_bodies,
    read_announced,
    start_announcing,
    start_bodies,
)
from chunk_sync.mail.imap_names import with_roles
from chunk_sync.mail.imap_reply import Fetched
from chunk_sync.mail.imap_session import Account, log_in
from chunk_sync.mail.imap_wire import Endpoint, ImapWire
from chunk_sync.mail.source import KnownMessage, ListedMessage, RawMessage, Snapshot, SourceFolder

_log = logging.getLogger(__name__)

_MESSAGES_A_BATCH = 500
_FIRST_WINDOW = 10_000
_WIDEST_WINDOW = 1 << 24
_SEARCH_WINDOW = 1 << 20
_LAST_UID = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class ImapLimits:
    """How long and how large: `silence` and `patience` in seconds, `pace` in bytes a second.

    No single wait may exceed `silence`, and all waits of a fetch together not `patience` plus what its
    bytes need at `pace`: a server that drips never runs into the first limit. A folder stays open for
    `reopen` seconds: UIDs keep their meaning that long by the protocol, and EXAMINE is dear in large ones.
    """

    silence: float = 60.0
    patience: float = 60.0
    pace: float = 50_000.0
    reopen: float = 30.0
    max_message_bytes: int = 100 << 20


class ImapSource:
    """One IMAP account. It connects on first use, and anew after a cut; every error is a ProviderError."""

    def __init__(self, endpoint: Endpoint, account: Account, limits: ImapLimits) -> None:
        self._endpoint = endpoint
        self._account = account
        self._limits = limits
        self._wire: ImapWire | None = None
        self._commands_before = 0
        self._opened: tuple[str, int] | None = None
        self._opened_at = 0.0
        self._secrets = account.spellings

    def requests(self) -> int:
        """Count the commands that were sent so far, over all connections."""
        return self._commands_before + (self._wire.commands if self._wire else 0)

    def folders(self) -> list[SourceFolder]:
        """List the folders that can hold messages, inbox first."""
        wire = self._connected()
        with translated(Stage.LIST, self._secrets):
            folders = with_roles(dialogue.list_folders(wire))
        if not folders:  # there is an INBOX, always
            message = "the mail server listed no folder"
            raise ProviderError(message, ErrorCategory.TEMPORARY, scope=ErrorScope.ACCOUNT, code="NOTLISTED")
        if dialogue.GMAIL in wire.capabilities and any(folder.role == "all" for folder in folders):
            # Every label of a message is another folder with it; All Mail has each once, without these two.
            return [replace(f, by_default=f.role in {"all", "junk", "trash"}) for f in folders]
        return folders

    def snapshot(self, folder: SourceFolder) -> Snapshot:
        """Freeze a folder: its UIDVALIDITY, UIDNEXT and number of messages now."""
        wire = self._connected()
        tag = self._start_opening(wire, folder.key)
        with translated(Stage.SELECT, self._secrets):
            opened = dialogue.read_opened(wire.replies(tag))
            uid_next = opened.uid_next
            if uid_next is None:  # never ask an empty folder for `*`: some servers answer BAD
                uid_next = dialogue.ask_highest_uid(wire) + 1 if opened.exists else 1
        self._note_opened(folder.key, opened.uidvalidity)
        return Snapshot(folder, opened.uidvalidity, uid_next, opened.exists, opened.highest_modseq, opened.object_id)

    def list_messages(self, snapshot: Snapshot, above_uid: int = 0) -> Iterator[ListedMessage]:
        """List the snapshot's messages above a UID in ascending windows of UIDs, a window a command."""
        low, last = above_uid + 1, min(snapshot.uid_next - 1, _LAST_UID)
        if not snapshot.message_count and low <= last and not self._has_any(snapshot, low, last):
            return
        width, widest = _FIRST_WINDOW, _WIDEST_WINDOW
        known: set[int] = set()
        listed = 0
        while low <= last:
            high = min(low + width - 1, last)
            wire = self._open(snapshot.folder.key, snapshot.uidvalidity)
            before = len(known)
            with translated(Stage.FETCH, self._secrets):
                complete = yield from dialogue.list_window(wire, low, high, known)
            listed += len(known) - before
            if not complete and width > 1:
                width = widest = max(1, width // 4)
                continue
            low = high + 1
            # UIDs are sparse: stride over emptiness, and step where the messages are.
            width = min(widest, width * 4 if (len(known) - before) * 8 < width else _FIRST_WINDOW)
            known = {uid for uid in known if uid > high}  # from an answer that was cut short
        if not above_uid and listed < snapshot.message_count:
            self._check_listing(snapshot, listed)

    def changes(self, snapshot: Snapshot, up_to: int, since_modseq: int) -> Changes:
        """Tell what changed: by the server's own count of changes, or from the flags of all messages."""
        wire = self._open(snapshot.folder.key, snapshot.uidvalidity)
        flags, vanished = FlagTable(), NO_UIDS
        # A count that went down was begun anew: it says nothing about what we know.
        since = since_modseq if since_modseq <= snapshot.highest_modseq else 0
        if not since or since < snapshot.highest_modseq:
            with translated(Stage.FETCH, self._secrets):
                vanished = dialogue.ask_flags(wire, up_to, flags, since)
        return Changes(flags, vanished)

    def existing(self, snapshot: Snapshot) -> UidSet:
        """List the UIDs that are there, in windows whose answers are of bounded size."""
        last = min(snapshot.uid_next - 1, _LAST_UID)
        width = _SEARCH_WINDOW if snapshot.message_count else last  # one that says it is empty is asked once
        ranges: list[UidRange] = []
        for low in range(1, last + 1, max(width, 1)):
            wire = self._open(snapshot.folder.key, snapshot.uidvalidity)
            with translated(Stage.FETCH, self._secrets):
                ranges += dialogue.ask_uids(wire, low, min(low + width - 1, last)).ranges
        found = UidSet.joined(ranges)
        if len(found) < snapshot.message_count:
            self._check_listing(snapshot, len(found))
        return found

    def fetch(
        self, span: Span, known: Collection[int] = (), *, eager: bool = False
    ) -> Iterator[RawMessage | KnownMessage]:
        """Stream the span's messages; those that it does not yield are gone from the folder."""
        wanted = sorted(span.uids)
        if not wanted:
            self._open(span.folder_key, span.uidvalidity)
        while wanted:
            missing: list[int] = []
            for start in range(0, len(wanted), _MESSAGES_A_BATCH):
                batch = wanted[start : start + _MESSAGES_A_BATCH]
                missing += yield from self._fetch_batch(span, batch, known, eager=eager and not known)
            progress = len(missing) < len(wanted)
            wanted = self._still_there(span, missing)
            if wanted and not progress:
                message = f"the mail server has {len(wanted)} messages that it does not deliver"
                raise ProviderError(message, ErrorCategory.TEMPORARY, code="NOTDELIVERED")

    def _has_any(self, snapshot: Snapshot, low: int, last: int) -> bool:
        """Ask a folder that says it is empty, and has not always been, for one search: one wrong zero loses all."""
        wire = self._open(snapshot.folder.key, snapshot.uidvalidity)
        with translated(Stage.FETCH, self._secrets):
            return bool(dialogue.ask_uids(wire, low, last))

    def _check_listing(self, snapshot: Snapshot, listed: int) -> None:
        """Make sure that the messages which were not listed are gone; raises ProviderError when they are not."""
        now = self.snapshot(snapshot.folder)
        arrived = now.uid_next - snapshot.uid_next
        if now.uidvalidity == snapshot.uidvalidity and now.message_count - arrived > listed:
            message = f"the mail server listed {listed} of {now.message_count} messages"
            raise ProviderError(message, ErrorCategory.TEMPORARY, scope=ErrorScope.FOLDER, code="NOTLISTED")

    def close(self) -> None:
        """Let the connection go; never raises."""
        wire, self._wire, self._opened = self._wire, None, None
        if wire is None:
            return
        try:
            if wire.is_idle:
                wire.start("LOGOUT")
        except OSError:
            _log.debug("the connection was gone before LOGOUT")
        finally:
            self._commands_before += wire.commands
            wire.shutdown()

    def __enter__(self) -> Self:
        """Enter; the connection is made on first use."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def _connected(self) -> ImapWire:
        """Return a logged-in connection that owes no answer: a new one after a cut or an abandoned stream."""
        if self._wire is None or not self._wire.is_idle:
            self.close()
            self._wire = self._log_in()
        self._wire.allow(self._limits.patience)
        return self._wire

    def _log_in(self) -> ImapWire:
        limits = self._limits
        return log_in(
            self._endpoint,
            self._account,
            silence=limits.silence,
            patience=limits.patience,
            max_literal=limits.max_message_bytes,
        )

    def _open(self, key: str, uidvalidity: int) -> ImapWire:
        """Open a folder read-only unless it is open already; raises data_conflict when its epoch has ended."""
        wire = self._connected()
        if not self._is_open(key, uidvalidity):
            self._finish_opening(wire, self._start_opening(wire, key), key, uidvalidity)
        return wire

    def _is_open(self, key: str, uidvalidity: int) -> bool:
        is_recent = time.monotonic() - self._opened_at < self._limits.reopen
        return is_recent and self._opened == (key, uidvalidity)

    def _note_opened(self, key: str, uidvalidity: int) -> None:
        self._opened, self._opened_at = (key, uidvalidity), time.monotonic()

    def _start_opening(self, wire: ImapWire, key: str) -> bytes:
        self._opened = None
        with translated(Stage.SELECT, self._secrets):
            return wire.start("EXAMINE", dialogue.name_on_the_wire(wire, key))

    def _finish_opening(self, wire: ImapWire, tag: bytes, key: str, uidvalidity: int) -> None:
        with translated(Stage.SELECT, self._secrets):
            now = dialogue.read_opened(wire.replies(tag)).uidvalidity
        if now != uidvalidity:
            message = f"the folder was numbered anew (UIDVALIDITY {uidvalidity} became {now}): plan it again"
            raise ProviderError(message, ErrorCategory.DATA_CONFLICT, scope=ErrorScope.FOLDER, code="UIDVALIDITY")
        self._note_opened(key, uidvalidity)

    def _fetch_batch(
        self, span: Span, uids: list[int], known: Collection[int], *, eager: bool
    ) -> Generator[RawMessage | KnownMessage, None, list[int]]:
        """Fetch some messages of a span; returns the UIDs that did not come."""
        wire = self._connected()
        is_open = self._is_open(span.folder_key, span.uidvalidity)
        # The first questions go out together with EXAMINE: two round trips less.
        opening = None if is_open else self._start_opening(wire, span.folder_key)
        ahead = bodies_ahead(uids) if eager else ()
        with translated(Stage.FETCH if is_open else Stage.SELECT, self._secrets):
            tag = start_announcing(wire, uids)
            bodies = start_bodies(wire, ahead) if ahead else None
        if opening is not None:
            self._finish_opening(wire, opening, span.folder_key, span.uidvalidity)
        opened, self._opened = self._opened, None  # after an error the folder is looked at again
        with translated(Stage.FETCH, self._secrets):
            come: list[Fetched] = []
            announced = yield from read_announced(wire, tag, uids, come)
            cap = self._limits.max_message_bytes
            there = [uid for uid in known if uid in announced]
            flags = {uid: announced.pop(uid).flags for uid in there}
            small = {uid: message for uid, message in announced.items() if message.size <= cap}
            wire.extend(sum(message.size for message in small.values()) / self._limits.pace)
            missing = set(uids)
            for message in fetch_bodies(wire, small, Early(bodies, frozenset(ahead), come)):
                missing.discard(message.uid)
                yield message
        self._opened = opened
        for uid in there:
            missing.discard(uid)
            yield KnownMessage(uid, flags[uid])
        for uid in announced.keys() - small.keys():
            missing.discard(uid)
            large = announced[uid]
            yield RawMessage(uid, None, large.size, large.flags, large.received_at)
        return sorted(missing)

    def _still_there(self, span: Span, uids: list[int]) -> list[int]:
        """Make sure which messages that did not come are gone; returns those that are not.

        The folder is opened anew for it: in one that was deleted or numbered anew nothing is "gone".
        """
        if uids:
            self._opened = None
        existing: set[int] = set()
        for start in range(0, len(uids), _MESSAGES_A_BATCH):
            wire = self._open(span.folder_key, span.uidvalidity)
            with translated(Stage.FETCH, self._secrets):
                existing |= dialogue.ask_existing(wire, uids[start : start + _MESSAGES_A_BATCH])
        return sorted(existing)
