"""Header blocks: transport noise, threads, list headers. Lines are without CRLF, folds included."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from random import Random

from chunk_sync.demo import words
from chunk_sync.demo.people import Person, encoded_word, people

_ZONES = tuple(timezone(timedelta(minutes=minutes)) for minutes in (-480, -300, 0, 60, 120, 180, 330, 540))
_REPLY_PREFIXES = ("Re: ", "Re: ", "RE: ", "AW: ", "Fwd: ", "Re: Re: ")
_NOISE = (
    "X-Mailer: Apple Mail (2.3774.{a})",
    "X-Mailer: Microsoft Outlook 16.0",
    "User-Agent: Mozilla Thunderbird",
    "X-MS-Exchange-Organization-SCL: {a}",
    "X-Spam-Score: {a}.{b}",
    "X-Spam-Status: No, score={a}.{b} required=5.0 tests=DKIM_SIGNED,DKIM_VALID,HTML_MESSAGE",
    "X-Google-Smtp-Source: AGHT+{token}",
    "X-Originating-IP: [198.51.100.{b}]",
    "X-Campaign: spring-{b}",
    "Feedback-ID: {b}:{token}:example",
    "Thread-Index: {token}",
    "Importance: Normal",
)
_MESSAGE_ID_DOMAINS = ("mail.example.com", "corp.example", "lists.example.org")
_MOST_REFERENCES = 12
_MOST_THREADS = 4000


@dataclass(slots=True)
class Thread:
    """A conversation so far: its subject and the Message-IDs in order."""

    subject: str
    message_ids: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Threads:
    """The conversations of one group of folders; new mail prefers the recent ones."""

    reply_share: float
    known: list[Thread] = field(default_factory=list[Thread])

    def lines(self, rng: Random, message_id: str, *, rich: bool) -> list[str]:
        """Open a thread or reply within one: Subject, and In-Reply-To and References of a reply."""
        if not self.known or rng.random() >= self.reply_share:
            subject = new_subject(rng, rich=rich)
            self.known.append(Thread(subject, [message_id]))
            del self.known[:-_MOST_THREADS]
            return [f"Subject: {subject}"]
        back = min(len(self.known), 1 + int(rng.expovariate(1 / 40)))
        thread = self.known[-back]
        prefix = "" if rng.random() < 0.1 else rng.choice(_REPLY_PREFIXES)
        references = thread.message_ids[-1 if rng.random() < 0.05 else -_MOST_REFERENCES :]
        lines = [f"Subject: {prefix}{thread.subject}", f"In-Reply-To: {references[-1]}"]
        if rng.random() < 0.9:
            lines.append("References: " + "\r\n ".join(references))
        thread.message_ids.append(message_id)
        return lines


def new_subject(rng: Random, *, rich: bool) -> str:
    """Make a subject; one in seven of a rich mailbox is an encoded word in some charset."""
    if rich and rng.random() < 0.15:
        charset, phrase = rng.choice(words.REAL_PHRASES)
        return encoded_word(phrase[:20], charset, q_encoding=rng.random() < 0.4)
    return words.subject(rng)


def new_message_id(rng: Random, number: int) -> str:
    """Make a unique Message-ID."""
    return f"<{rng.getrandbits(80):020x}.{number}@{rng.choice(_MESSAGE_ID_DOMAINS)}>"


def date_line(rng: Random, sent_at: datetime) -> str:
    """Write the Date header in the zone of some sender."""
    return f"Date: {format_datetime(sent_at.astimezone(rng.choice(_ZONES)))}"


def received_lines(rng: Random, received_at: datetime, hops: int) -> list[str]:
    """Write the trace of a delivery, newest hop first, all within one second."""
    date = format_datetime(received_at)
    return [
        f"Received: from mx{hop}.example.com (mx{hop}.example.com [192.0.2.{rng.randrange(1, 251)}])\r\n"
        f"\tby in{hop}.example.org (Postfix) with ESMTPS id {rng.getrandbits(48):012X}\r\n"
        f"\tfor <olena@example.com>; {date}"
        for hop in range(hops)
    ]


def signature_lines(rng: Random, number: int) -> list[str]:
    """Write a DKIM signature and what the receiving server made of it; the bytes are noise."""
    key = "\r\n\t ".join(base64.b64encode(rng.randbytes(54)).decode() for _ in range(4))
    return [
        (
            "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=s1;\r\n"
            "\th=from:subject:date:message-id:to; bh="
            f"{base64.b64encode(rng.randbytes(32)).decode()};\r\n\tb={key}"
        ),
        (
            f"Authentication-Results: mx.example.org; spf=pass smtp.mailfrom=b{number}@example.com;\r\n"
            "\tdkim=pass header.d=example.com; dmarc=pass"
        ),
    ]


def list_lines(name: str, number: int) -> list[str]:
    """Write the headers of a mailing list or newsletter."""
    return [
        f"List-Id: <{name}.lists.example.org>",
        (
            f"List-Unsubscribe: <mailto:{name}-unsubscribe-{number}@lists.example.org>,\r\n"
            f" <https://lists.example.org/{name}/u/{number}>"
        ),
        "Precedence: bulk",
    ]


def noise_lines(rng: Random, count: int) -> list[str]:
    """Write headers that only programs read."""
    return [
        line.format(a=rng.randrange(10), b=rng.randrange(1, 250), token=f"{rng.getrandbits(128):032x}")
        for line in rng.sample(_NOISE, count)
    ]


def address_lines(rng: Random, sender: Person, receivers: Sequence[Person]) -> list[str]:
    """Write From, To and sometimes Cc."""
    lines = [
        f"From: {sender.header(q_encoding=rng.random() < 0.3)}",
        "To: " + ",\r\n ".join(person.header() for person in receivers),
    ]
    if rng.random() < 0.3:
        copies = rng.sample(people(), rng.randrange(1, 5))
        lines.append("Cc: " + ",\r\n ".join(person.header() for person in copies))
    return lines
