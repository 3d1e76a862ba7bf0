"""The demo mailbox: an endless, deterministic stream of messages in a handful of folders.

The stream depends on seed and profile only, never on how many messages are taken: fifty new messages
are the next fifty of the same stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random

from chunk_sync.demo import headers
from chunk_sync.demo.attachments import attachment, logo
from chunk_sync.demo.broken import BREAKERS
from chunk_sync.demo.headers import Threads
from chunk_sync.demo.parts import Part, html_part, multipart, text_part
from chunk_sync.demo.people import ME, Person, people
from chunk_sync.demo.profiles import Profile, ProfileName, profile_named

DEFAULT_COUNT = 5000
DEFAULT_SEED = 1
BEGINNING = datetime(2024, 1, 2, 7, 0, tzinfo=UTC)
INBOX = "INBOX"
SENT = "Sent"
LISTS = "Lists/postgresql"
INCOMING = "Вхідні"
JUNK = "Junk"


@dataclass(frozen=True, slots=True)
class GeneratedMessage:
    """One message as a mailbox would hold it; `received_at` is aware (UTC), `flags` are IMAP's."""

    folder: str
    raw: bytes
    received_at: datetime
    flags: tuple[str, ...]


def iter_messages(
    count: int = DEFAULT_COUNT, seed: int = DEFAULT_SEED, profile: ProfileName = "demo"
) -> Iterator[GeneratedMessage]:
    """Make `count` messages, oldest first; a larger count begins with the very same messages.

    Raises UsageError for an unknown profile.
    """
    return islice(_endless(_Mailbox(profile_named(profile), Random(f"chunk_sync demo {profile} {seed}"))), count)


def _endless(mailbox: _Mailbox) -> Iterator[GeneratedMessage]:
    while True:
        yield mailbox.next_message()


@dataclass(frozen=True, slots=True)
class _Letter:
    signature: str
    reply: bool


@dataclass(slots=True)
class _Mailbox:
    profile: Profile
    rng: Random
    number: int = 0
    now: datetime = BEGINNING
    personal: Threads = field(default_factory=lambda: Threads(reply_share=0.55))
    lists: Threads = field(default_factory=lambda: Threads(reply_share=0.75))
    lonely: Threads = field(default_factory=lambda: Threads(reply_share=0.0))
    remembered: GeneratedMessage | None = None

    def next_message(self) -> GeneratedMessage:
        """Move the clock on and deliver one message: a new one, or an old one a second time."""
        rng = self.rng
        self.number += 1
        self.now += timedelta(seconds=rng.randrange(20, 3600))
        folder = self._folder()
        if self.remembered and rng.random() < 0.012:
            folder = self.remembered.folder if rng.random() < 0.5 else folder
            return GeneratedMessage(folder, self.remembered.raw, self.now, self._flags(folder))
        raw = self._raw(folder)
        if self.profile.rich and rng.random() < 0.02:
            raw = rng.choice(BREAKERS)(raw)
        message = GeneratedMessage(folder, raw, self.now, self._flags(folder))
        if rng.random() < 0.02:
            self.remembered = message
        return message

    def _folder(self) -> str:
        at = self.rng.random()
        for folder, share in ((INBOX, 0.60), (SENT, 0.14), (LISTS, 0.10), (INCOMING, 0.03), (JUNK, 0.03)):
            at -= share
            if at < 0:
                return folder
        return f"Archive/{self.now.year}"

    def _flags(self, folder: str) -> tuple[str, ...]:
        if folder == SENT:
            return ("\\Seen",)
        seen = self.rng.random() < 0.85
        marks = (("\\Answered", 0.15), ("\\Flagged", 0.05))
        return tuple(["\\Seen"] * seen + [mark for mark, share in marks if seen and self.rng.random() < share])

    def _raw(self, folder: str) -> bytes:
        newsletter = folder == JUNK or (folder == INBOX and self.rng.random() < 0.25)
        threads = self.lonely if newsletter else self.lists if folder == LISTS else self.personal
        sender, receivers = self._correspondents(folder)
        top = self._transport(folder) + headers.address_lines(self.rng, sender, receivers)
        message_id = headers.new_message_id(self.rng, self.number)
        thread_lines = threads.lines(self.rng, message_id, rich=self.profile.rich)
        letter = _Letter(sender.called, reply=len(thread_lines) > 1)
        part = self._body(letter, *_shares(folder, newsletter=newsletter))
        lines = [*top, *thread_lines, f"Message-ID: {message_id}"]
        lines.append(headers.date_line(self.rng, self.now - timedelta(seconds=self.rng.randrange(1, 15))))
        if newsletter or folder == LISTS:
            name = "postgresql" if folder == LISTS else f"news{self.rng.randrange(30)}"
            lines += headers.list_lines(name, self.number)
        lines += headers.noise_lines(self.rng, self.rng.randrange(9) if self.profile.rich else 2)
        return Part((*lines, "MIME-Version: 1.0", *part.lines), part.body).rendered()

    def _transport(self, folder: str) -> list[str]:
        if folder == SENT:
            return []
        rich = self.profile.rich
        lines = headers.received_lines(self.rng, self.now, self.rng.randrange(1, 7) if rich else 1)
        if rich and self.rng.random() < 0.7:
            lines += headers.signature_lines(self.rng, self.number)
        return lines

    def _correspondents(self, folder: str) -> tuple[Person, list[Person]]:
        others = self.rng.sample(people(), self.rng.choice((1, 1, 1, 2, 3, 8)))
        return (ME, others) if folder == SENT else (others[0], [ME, *others[1:]])

    def _body(self, letter: _Letter, text_share: float, html_share: float) -> Part:
        at = self.rng.random()
        if not self.profile.rich or at < text_share:
            size = self.profile.text.draw(self.rng)
            return text_part(self.rng, size, signature=letter.signature, reply=letter.reply)
        both = self._alternative(letter)
        if at < text_share + html_share:
            return both
        files = [attachment(self.rng, self.profile) for _ in range(self.rng.choice((1, 1, 1, 2, 2, 3, 5)))]
        if self.rng.random() < 0.06:
            files.append(self._forwarded())
        return multipart(self.rng, "mixed", [both, *files])

    def _alternative(self, letter: _Letter) -> Part:
        """Make text and HTML of the same letter, with inline logos in one of four."""
        size = self.profile.html.draw(self.rng)
        images = self.rng.choice((1, 1, 2)) if self.rng.random() < 0.25 else 0
        logos = [logo(self.rng, self.profile, self.number) for _ in range(images)]
        html = html_part(self.rng, size, images=[content_id for content_id, _ in logos])
        if logos:
            html = multipart(self.rng, "related", [html, *(part for _, part in logos)])
        plain = text_part(self.rng, min(size // 6, 8000) + 80, signature=letter.signature, reply=letter.reply)
        return multipart(self.rng, "alternative", [plain, html])

    def _forwarded(self) -> Part:
        """Make a message that is attached as a whole."""
        sender = self.rng.choice(people())
        inner = text_part(self.rng, 900, signature=sender.called)
        lines = [
            *headers.address_lines(self.rng, sender, [ME]),
            f"Subject: {headers.new_subject(self.rng, rich=True)}",
            f"Message-ID: {headers.new_message_id(self.rng, self.number)}",
            headers.date_line(self.rng, self.now - timedelta(days=1)),
            "MIME-Version: 1.0",
            *inner.lines,
        ]
        body = Part(tuple(lines), inner.body).rendered()
        return Part(("Content-Type: message/rfc822", "Content-Disposition: attachment"), body)


def _shares(folder: str, *, newsletter: bool) -> tuple[float, float]:
    """Give the shares of plain text and of HTML; the rest has attachments."""
    if newsletter:
        return 0.06, 0.90
    if folder == LISTS:
        return 0.92, 0.03
    if folder == SENT:
        return 0.55, 0.20
    return 0.48, 0.30
