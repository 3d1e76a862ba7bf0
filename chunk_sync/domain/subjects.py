"""Subjects: what a conversation is about, and whether a message says that it is a reply. Pure, in linear time."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_LONGEST = 1_000

# How mail programs of the world begin the subject of a reply, and of what they hand on; folded.
_REPLY = (
    "re|aw|antw|antwort|sv|vs|r|rif|res|odp|ynt|vá|отв|ответ|на|απ|σχετ|תגובה|השב|رد|回复|回覆|答复|答覆|返信|회신|답장"
)
_FORWARD = "fwd|fw|wg|tr|rv|enc|vl|vb|pd|ilt|doorst|пер|пересл|προωθ|הועבר|转发|轉寄|転送|전달"
_COUNTER = r"(?:\[\d{1,4}\]|\(\d{1,4}\)|[\^*]\d{1,4})"
_PREFIX = re.compile(rf"(?:({_REPLY})|(?:{_FORWARD})) ?{_COUNTER}? ?: ?")
_TAG = re.compile(r"(\[[^\[\]]{1,100}\]) ?")


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject as it is compared: without case and prefixes; `base` is empty when there is nothing to compare."""

    base: str
    is_reply: bool


def read_subject(subject: str) -> Subject:
    """Take the prefixes off a decoded subject, however many there are; only its first 1,000 characters count.

    The outermost prefix says whether it is a reply: a reply that is forwarded is a forward. Tags such as `[list]`
    stay, in front and each once, wherever a mail program put its prefix: they tell conversations apart.
    """
    text = " ".join(unicodedata.normalize("NFKC", subject[:_LONGEST]).casefold().split())
    prefixes: list[bool] = []
    tags: dict[str, None] = {}
    position = 0
    while match := _PREFIX.match(text, position) or _TAG.match(text, position):
        if match.re is _TAG:
            tags[match[1]] = None
        else:
            prefixes.append(match[1] is not None)
        position = match.end()
    rest = text[position:].strip()
    return Subject(" ".join([*tags, rest]) if rest else "", is_reply=prefixes[:1] == [True])
