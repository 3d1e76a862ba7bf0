"""What a fault proxy is told: where on the line it strikes, what it does there, and how often.

An act gets the tag and the truth (the whole reply with its literals, or the command) and yields what
happens instead, step by step. A fault counts its moments over all connections of the proxy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum


class Place(StrEnum):
    """Where a fault strikes."""

    CONNECT = "connect"  # before the first byte, and before TLS
    GREETING = "greeting"
    COMMAND = "command"  # before the server gets it, and after everything older was answered
    REPLY = "reply"  # one untagged reply, with its literals
    COMPLETION = "completion"  # the tagged line


class Step(Enum):
    """What happens, other than bytes to the client."""

    HONEST = "honest"  # what would have happened without the fault
    FIN = "fin"
    RST = "rst"
    STALL = "stall"  # nothing more, ever: the connection stays open


@dataclass(frozen=True, slots=True)
class Drip:
    """From here on so many bytes a second."""

    bytes_per_second: float


Steps = Iterable[bytes | Step | Drip | Callable[[], object]]
Act = Callable[[bytes, bytes], Steps]

_LITERAL = re.compile(rb"\{(\d+)\}\r\n")
BODY = rb"BODY\[\]"
"""Matches a reply with a message's bytes, and the command that asks for them."""


@dataclass
class Fault:
    """One fault. `pattern` is searched in the command, or in the first line of the reply.

    `of`: replies to such commands only. It strikes from the `nth` moment on, `times` times (None: always).
    `hits` says how often it did.
    """

    place: Place
    act: Act
    pattern: bytes = b""
    of: bytes = b""
    nth: int = 1
    times: int | None = 1
    hits: int = 0
    seen: int = 0

    def strikes(self, place: Place, text: bytes, command: bytes = b"") -> bool:
        """Tell whether this is its moment, and count it."""
        if place is not self.place or not re.search(self.pattern, text) or not re.search(self.of, command):
            return False
        self.seen += 1
        if self.seen < self.nth or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True


def cut(step: Step = Step.FIN) -> Act:
    """End the connection here."""
    return lambda _tag, _truth: [step]


def cut_after(count: int, step: Step = Step.FIN) -> Act:
    """Let the first bytes of the truth through, then end the connection (negative: all but the last)."""
    return lambda _tag, truth: [truth[:count], step]


def cut_in_literal(count: int, step: Step = Step.FIN, farewell: bytes = b"") -> Act:
    """End the connection after so many bytes of the reply's literal, with or without last words."""

    def act(_tag: bytes, truth: bytes) -> Steps:
        return [truth[: _literal(truth).end() + count] + farewell, step]

    return act


def cut_behind() -> Act:
    """Let the truth through, then end the connection."""
    return lambda _tag, _truth: [Step.HONEST, Step.FIN]


def bye(text: bytes) -> Act:
    """Say goodbye and close, as an overloaded server does."""
    return lambda _tag, _truth: [b"* BYE " + text + b"\r\n", Step.FIN]


def stall(kept: int = 0) -> Act:
    """Send the first bytes of the truth and then nothing more: a half-open line."""
    return lambda _tag, truth: [truth[:kept], Step.STALL]


def drip(bytes_per_second: float) -> Act:
    """Send everything from here on so slowly that no single wait is long."""
    return lambda _tag, _truth: [Drip(bytes_per_second), Step.HONEST]


def answer(text: bytes) -> Act:
    """Complete the command with this, as `NO [LIMIT] text`, instead of doing it."""
    return lambda tag, _truth: [tag + b" " + text + b"\r\n"]


def say(text: bytes) -> Act:
    """Send this in place of the truth, and go on."""
    return lambda _tag, _truth: [text]


def before(text: bytes) -> Act:
    """Send this first: garbage, or replies that nobody asked for."""
    return lambda _tag, _truth: [text, Step.HONEST]


def doubled(_tag: bytes, _truth: bytes) -> Steps:
    """Send the same reply twice."""
    return [Step.HONEST, Step.HONEST]


def edited(pattern: bytes, replacement: bytes) -> Act:
    """Change the truth by a regular expression, which must fit."""

    def act(_tag: bytes, truth: bytes) -> Steps:
        changed, count = re.subn(pattern, replacement, truth, count=1)
        assert count, truth
        return [changed]

    return act


def resized(by: int) -> Act:
    """Announce the literal with a size that is off by some bytes."""

    def act(_tag: bytes, truth: bytes) -> Steps:
        size = _literal(truth)
        return [truth[: size.start()] + b"{%d}\r\n" % (int(size[1]) + by) + truth[size.end() :]]

    return act


def unclosed(_tag: bytes, truth: bytes) -> Steps:
    """Leave the closing parenthesis of a reply out."""
    assert truth.endswith(b")\r\n"), truth
    return [truth[:-3] + b"\r\n"]


def meanwhile(event: Callable[[], object]) -> Act:
    """Let something really happen to the mailbox, then go on honestly."""
    return lambda _tag, _truth: [event, Step.HONEST]


def _literal(truth: bytes) -> re.Match[bytes]:
    found = _LITERAL.search(truth)
    assert found, truth[:200]
    return found
