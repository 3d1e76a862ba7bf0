"""Listening to an IMAP mailbox: NOTIFY (RFC 5465), else IDLE (RFC 2177), else a NOOP now and then.

What is heard is a hint that something happened, and nothing more: what it was is for a sync to find out. So it
does no harm when one is lost, told twice or made up. Used by one thread.
"""

from __future__ import annotations

import errno
import logging
import re
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from chunk_sync.errors import ErrorCategory, ErrorScope, ProviderError
from chunk_sync.mail import imap_dialogue as dialogue
from chunk_sync.mail.imap_errors import ServerRefused, Stage, declinable, translated
from chunk_sync.mail.imap_names import with_roles
from chunk_sync.mail.imap_reply import parse_exists, parse_list, status_code
from chunk_sync.mail.imap_session import Account, log_in
from chunk_sync.mail.imap_tokens import Reply
from chunk_sync.mail.imap_wire import Endpoint, ImapWire

_log = logging.getLogger(__name__)

INBOX = "INBOX"
_MAX_LITERAL = 1 << 20  # nobody asks for mail here, some servers send it unasked
_NOTIFY = "NOTIFY SET (personal (MessageNew MessageExpunge FlagChange MailboxName))"
_CHANGED = re.compile(rb"\* \d{1,10} FETCH\b", re.IGNORECASE)
_GONE = re.compile(rb"\* (?:\d{1,10} EXPUNGE|VANISHED)\b", re.IGNORECASE)
_OF_A_FOLDER = re.compile(rb"\* (?:STATUS|LIST) ", re.IGNORECASE)


class Manner(StrEnum):
    """How a mailbox is listened to: all of its folders, the inbox, or the inbox at intervals."""

    NOTIFY = "NOTIFY"
    IDLE = "IDLE"
    POLL = "NOOP"


@dataclass(frozen=True, slots=True)
class ListenTimes:
    """How long to wait, in seconds.

    A silent connection is tried, and IDLE begun anew, every `renew`: servers end IDLE after 30 minutes, and routers
    forget a silent line sooner. A server that can only be asked is asked every `poll`. `silence` is the longest that
    an answer may take.
    """

    silence: float = 60.0
    renew: float = 540.0
    poll: float = 60.0


class ImapListener:
    """One connection that listens, to all folders or to some by path; every error is a ProviderError.

    After an error it is done for: open another one.
    """

    def __init__(
        self, endpoint: Endpoint, account: Account, times: ListenTimes, folders: Collection[str] | None = None
    ) -> None:
        self._endpoint = endpoint
        self._account = account
        self._times = times
        self._folders = folders
        self._names: frozenset[bytes] = frozenset()
        self._wire: ImapWire | None = None
        self._manner = Manner.POLL
        self._idle: bytes | None = None
        self._renew_at = 0.0
        self._exists: int | None = None
        self._happened = False

    def open(self) -> Manner:
        """Log in and begin to listen; returns how. What happened before is not heard."""
        wire = self._log_in()
        key = self._choose(wire)
        if self._notifies(wire):
            self._manner = Manner.NOTIFY
        else:
            self._manner = Manner.IDLE if self._idles(wire, key) else Manner.POLL
        self._happened = False
        self._wait_to_renew()
        return self._manner

    def wait(self, seconds: float) -> bool:
        """Wait until something happens, so long at most; returns whether it has."""
        wire = self._wire
        assert wire is not None, "open it first"  # noqa: S101 - a fault of the caller
        left = self._renew_at - time.monotonic()
        with translated(Stage.LISTEN, self._account.spellings):
            if left <= 0:
                self._renew(wire)
            elif wire.heard(min(seconds, left)):
                wire.allow(self._times.silence)
                reply = wire.next_reply()
                self._note(() if reply is None else (reply,))
                if self._idle is not None and wire.is_idle:
                    raise ConnectionAbortedError(errno.ECONNABORTED, "IDLE was ended by the server")
        happened, self._happened = self._happened, False
        return happened

    def close(self) -> None:
        """Let the connection go; never raises."""
        wire, self._wire = self._wire, None
        if wire is None:
            return
        try:
            if self._idle is not None:
                wire.send(b"DONE\r\n")
            wire.start("LOGOUT")
        except OSError:
            _log.debug("the connection was gone before LOGOUT")
        finally:
            self._idle = None
            wire.shutdown()

    def __enter__(self) -> Self:
        """Enter; `open` connects."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def _log_in(self) -> ImapWire:
        silence = self._times.silence
        self._wire = log_in(self._endpoint, self._account, silence=silence, patience=silence, max_literal=_MAX_LITERAL)
        return self._wire

    def _choose(self, wire: ImapWire) -> str:
        """Find the folders that count, where only some do; returns the key of the one to open."""
        if self._folders is None:
            return INBOX
        with translated(Stage.LIST, self._account.spellings):
            listed = with_roles(dialogue.list_folders(wire))
        chosen = [folder.key for folder in listed if folder.path in self._folders]
        if not chosen:
            message = "the mail server has none of the mailbox's folders"
            raise ProviderError(message, ErrorCategory.NOT_FOUND, scope=ErrorScope.FOLDER)
        self._names = frozenset(_plain(dialogue.name_on_the_wire(wire, key)) for key in chosen)
        return chosen[0]

    def _notifies(self, wire: ImapWire) -> bool:
        """Ask for news of all folders; returns whether the server will tell them."""
        if "NOTIFY" not in wire.capabilities:
            return False
        with translated(Stage.LISTEN, self._account.spellings), declinable():
            wire.run(_NOTIFY)
            return True
        return False

    def _idles(self, wire: ImapWire, key: str) -> bool:
        """Open a folder and begin IDLE there; returns whether the server does that, else the folder is open."""
        self._examine(wire, key)
        if "IDLE" not in wire.capabilities:
            return False
        with translated(Stage.LISTEN, self._account.spellings), declinable():
            try:
                self._begin_idle(wire)
            except TimeoutError:  # something in between may know IDLE by its name only
                self.close()
                self._examine(self._log_in(), key)
                return False
            return True
        return False

    def _examine(self, wire: ImapWire, key: str) -> None:
        with translated(Stage.SELECT, self._account.spellings):
            tag = wire.start("EXAMINE", dialogue.name_on_the_wire(wire, key))
            self._exists = dialogue.read_opened(wire.replies(tag)).exists

    def _begin_idle(self, wire: ImapWire) -> None:
        wire.allow(self._times.silence)
        tag = wire.start("IDLE")
        self._note(wire.until_go_ahead(tag))
        if wire.is_idle:
            self._note(wire.replies(tag))
            raise ServerRefused("NO", b"IDLE ended before it began")
        self._idle = tag

    def _renew(self, wire: ImapWire) -> None:
        """Make sure that the server is still there, and that it still speaks."""
        wire.allow(self._times.silence)
        if self._idle is None:
            self._note(wire.replies(wire.start("NOOP")))
        else:
            tag, self._idle = self._idle, None
            wire.send(b"DONE\r\n")
            self._note(wire.replies(tag))
            self._begin_idle(wire)
        self._wait_to_renew()

    def _wait_to_renew(self) -> None:
        seconds = self._times.poll if self._manner is Manner.POLL else self._times.renew
        self._renew_at = time.monotonic() + seconds

    def _note(self, replies: Iterable[Reply]) -> None:
        for reply in replies:
            self._happened |= self._is_news(reply)

    def _is_news(self, reply: Reply) -> bool:
        """Tell whether a reply says that something happened: some servers repeat EXISTS to keep the line open."""
        text = reply.texts[0]
        if _CHANGED.match(text):
            return True
        if _GONE.match(text):
            self._exists = None
            return True
        exists = parse_exists(reply)
        if exists is not None:
            before, self._exists = self._exists, exists
            return exists != before
        if self._manner is not Manner.NOTIFY:
            return False
        found = status_code(text[5:])
        if found is not None and found[0] == "NOTIFICATIONOVERFLOW":
            raise ServerRefused("BYE", text[5:].strip())
        return _OF_A_FOLDER.match(text) is not None and (not self._names or _folder_in(reply) in self._names)


def _folder_in(reply: Reply) -> bytes | None:
    """Read whose STATUS, or whose LIST, a reply is."""
    listed = parse_list(reply)
    if listed is not None:
        return _plain(listed.name)
    tokens = reply.tokens()
    name = tokens[1] if len(tokens) > 1 else None
    return _plain(name.encode("latin-1") if isinstance(name, str) else name) if isinstance(name, str | bytes) else None


def _plain(name: bytes) -> bytes:
    return name.upper() if name.upper() == INBOX.encode() else name
