"""What providers allow a mailbox, as they document it, and how much of it a measured speed would use."""

from __future__ import annotations

from dataclasses import dataclass

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Quota:
    """A provider's limit: messages or bytes a second, sustained; None where it documents none of that kind."""

    name: str
    text: str
    messages: float | None = None
    bytes: float | None = None


QUOTAS = (
    Quota("Gmail IMAP, a mailbox", "2,500 MB a day, 15 connections", bytes=2_500e6 / _DAY),
    Quota("Gmail API, a mailbox, older projects", "15,000 units a minute, 5 a message", messages=50.0),
    Quota("Gmail API, a mailbox, projects since 2026-05", "6,000 units a minute, 20 a message", messages=5.0),
    Quota("Gmail API, a project, older", "1,200,000 units a minute, 5 a message", messages=4_000.0),
    Quota("Gmail API, a project, since 2026-05", "1,200,000 units a minute, 20 a message", messages=1_000.0),
    Quota("Microsoft Graph, a mailbox", "10,000 requests in 10 minutes, 4 at once", messages=10_000 / 600),
    Quota("Microsoft 365 IMAP", "no figure: a back-off time is told"),
    Quota("any IMAP server", "none; Dovecot: 10 connections a user and address"),
)


def share(quota: Quota, messages: float, size: float) -> float | None:
    """Tell what part of a quota a speed uses (messages and bytes a second); 1.0 is all of it."""
    shares = [used / allowed for used, allowed in ((messages, quota.messages), (size, quota.bytes)) if allowed]
    return max(shares, default=None)
