"""What must hold of every parsed message, whatever the bytes were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from chunk_sync.mail.parse import Attachment, ParsedMessage, ParseLimits

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def check_message(message: ParsedMessage, raw: bytes, limits: ParseLimits) -> None:
    """Check what PostgreSQL demands of text, what the store relies on, and that the limits are kept."""
    for text in texts(message):
        assert isinstance(text, str)
        text.encode("utf-8")  # no lone surrogates
        assert "\0" not in text
    json.dumps(message.headers)
    _check_limits(message, limits)
    for attachment in message.attachments:
        _check_attachment(attachment, raw)
    assert len({a.part for a in message.attachments}) == len(message.attachments)
    assert message.sent_at is None or (message.sent_at.tzinfo is UTC and _FIRST < message.sent_at < _LAST)
    for address in (message.from_, *message.to, *message.cc, *message.bcc):
        assert address is None or address.name or address.address
        for text in (address and address.name, address and address.address):
            assert text is None or 0 < len(text) <= 501
    assert message.status in {"ok", "defective", "unparsable"}
    assert (message.status == "ok") == (not message.defects)


def texts(message: ParsedMessage) -> Iterator[str]:
    """Give every text of a message."""
    for address in (message.from_, *message.to, *message.cc, *message.bcc):
        yield from (text for text in (address and address.name, address and address.address) if text is not None)
    yield from (part for header in message.headers for part in header)
    yield from message.references
    yield from message.defects
    yield from (message.subject, message.snippet)
    known = (message.message_id, message.in_reply_to, message.body_text, message.body_html)
    yield from (text for text in known if text is not None)
    for a in message.attachments:
        yield from (text for text in (a.part, a.filename, a.content_type, a.content_id) if text is not None)


def _check_limits(message: ParsedMessage, limits: ParseLimits) -> None:
    assert len(message.snippet) <= 200
    assert len(message.subject) <= 4_000
    assert len(message.references) <= limits.references
    assert len(message.attachments) <= limits.parts
    assert len(message.defects) <= 20
    for recipients in (message.to, message.cc, message.bcc):
        assert len(recipients) <= limits.recipients
    for body in (message.body_text, message.body_html):
        assert body is None or len(body) <= limits.text
    # A byte that is no text becomes U+FFFD; an undecodable word stays as it is: never more characters than bytes.
    assert sum(len(name) + len(value) for name, value in message.headers) <= limits.headers
    for identifier in (message.message_id, message.in_reply_to, *message.references):
        assert identifier is None or 0 < len(identifier) <= 500


def _check_attachment(attachment: Attachment, raw: bytes) -> None:
    assert 0 <= attachment.size <= len(raw)
    assert len(attachment.sha256) == 32
    assert attachment.part.replace(".", "").isdecimal()
    name = attachment.filename
    assert name is None or (0 < len(name) <= 255 and name.isprintable() and not set(name) & {"/", "\\"})
    for text, longest in ((attachment.content_type, 255), (attachment.content_id, 500)):
        assert text is None or (0 < len(text) <= longest and text == " ".join(text.split()))
