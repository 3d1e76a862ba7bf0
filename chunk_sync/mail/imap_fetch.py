"""Fetching messages over IMAP: sizes, flags and dates first, then bodies, a few commands in flight at a time."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from chunk_sync.domain.spans import UidSet
from chunk_sync.mail.imap_dialogue import fetch_replies, flag_items
from chunk_sync.mail.imap_reply import Fetched
from chunk_sync.mail.imap_tokens import SkippedLiteral
from chunk_sync.mail.imap_wire import ImapWire
from chunk_sync.mail.source import RawMessage

_log = logging.getLogger(__name__)

_BODIES_A_COMMAND = 200
_BYTES_A_COMMAND = 16 << 20
_COMMANDS_IN_FLIGHT = 2


@dataclass(frozen=True, slots=True)
class Announced:
    """What the server says of a message before its body is asked for; `size` in bytes."""

    size: int
    flags: tuple[str, ...]
    received_at: datetime | None


def start_announcing(wire: ImapWire, uids: Iterable[int]) -> bytes:
    """Ask for sizes, flags and dates; `read_announced` takes the tag."""
    return wire.start(f"UID FETCH {UidSet.of(uids)} ({flag_items(wire)} INTERNALDATE RFC822.SIZE)")


def read_announced(
    wire: ImapWire, tag: bytes, uids: Iterable[int], bodies: list[Fetched]
) -> Generator[RawMessage, None, dict[int, Announced]]:
    """Read the answer to `start_announcing`; messages that are gone are not in it.

    A server may answer the command for bodies at the same time: `bodies` takes what has come of it. When the answer
    breaks off, messages of which all has come are yielded before the error.
    """
    wanted = frozenset(uids)
    announced: dict[int, Announced] = {}
    try:
        for fetched in fetch_replies(wire, tag):
            if fetched.uid in wanted and fetched.size is not None:
                announced[fetched.uid] = Announced(fetched.size, fetched.flags or (), fetched.received_at)
            if fetched.has_body:
                bodies.append(fetched)
    except Exception:
        yield from _whole(bodies, announced)
        raise
    return announced


def start_bodies(wire: ImapWire, uids: Iterable[int]) -> bytes:
    """Ask for whole messages; `fetch_bodies` takes the tag."""
    return wire.start(f"UID FETCH {UidSet.of(uids)} (UID BODY.PEEK[])")


def bodies_ahead(uids: Sequence[int]) -> Sequence[int]:
    """Say whose bodies may be asked for before their sizes are known: a planner puts what is large by itself."""
    return uids[:_BODIES_A_COMMAND] if len(uids) > 1 else ()


@dataclass(frozen=True, slots=True)
class Early:
    """Bodies that were asked for before their sizes were known: by which command, whose, and what of it has come."""

    tag: bytes | None = None
    uids: frozenset[int] = frozenset()
    come: Sequence[Fetched] = ()


def fetch_bodies(wire: ImapWire, announced: Mapping[int, Announced], early: Early) -> Iterator[RawMessage]:
    """Fetch bodies and yield each message as soon as it is whole; a few commands are in flight at a time."""
    commands = iter(_body_sets({uid: message for uid, message in announced.items() if uid not in early.uids}))
    in_flight: deque[bytes] = deque() if early.tag is None else deque([early.tag])
    waiting = dict(announced)
    answers: Iterable[Fetched] = early.come
    while True:
        yield from _whole(answers, waiting)
        while len(in_flight) < _COMMANDS_IN_FLIGHT and (uids := next(commands, None)):
            in_flight.append(start_bodies(wire, uids))
        if not in_flight:
            return
        answers = fetch_replies(wire, in_flight.popleft())


def _whole(answers: Iterable[Fetched], waiting: dict[int, Announced]) -> Iterator[RawMessage]:
    """Make messages of answers that have a body, and take them out of what is waited for."""
    for fetched in answers:
        # An answer may belong to a later command; a second answer, or one without a body, is not ours.
        if fetched.uid in waiting and fetched.has_body:
            message = _raw_message(fetched.uid, fetched, waiting[fetched.uid])
            if message is not None:
                del waiting[fetched.uid]
                yield message


def _raw_message(uid: int, fetched: Fetched, announced: Announced) -> RawMessage | None:
    body = fetched.body
    if isinstance(body, SkippedLiteral):
        return RawMessage(uid, None, body.size, announced.flags, announced.received_at)
    if body is None:
        if announced.size:
            return None  # NIL for a message that has bytes: not delivered
        body = b""
    if len(body) != announced.size:  # Exchange announces estimates: worth a note, no failure
        _log.info("uid %d: %d bytes were announced, %d came", uid, announced.size, len(body))
    return RawMessage(uid, body, len(body), announced.flags, announced.received_at)


def _body_sets(announced: Mapping[int, Announced]) -> Iterator[list[int]]:
    """Cut messages into commands by number and bytes, in ascending order."""
    uids: list[int] = []
    size = 0
    for uid in sorted(announced):
        if uids and (len(uids) == _BODIES_A_COMMAND or size + announced[uid].size > _BYTES_A_COMMAND):
            yield uids
            uids, size = [], 0
        uids.append(uid)
        size += announced[uid].size
    if uids:
        yield uids
