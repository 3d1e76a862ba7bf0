"""The first words of a message, for people who look over a list. Pure."""

from __future__ import annotations

import html
import re

from chunk_sync.mail.textclean import clean_text, fold_whitespace

_LONGEST = 200
_TEXT_LOOKED_AT = 800
_HTML_LOOKED_AT = 60_000
_HTML_STRIPPED = 8_000
_UNSEEN = re.compile(r"<(style|script|head|title|!--)", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>?")
# Newsletters fill their preview with these.
_INVISIBLE = re.compile("[\u00ad\u034f\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]")


def make_snippet(text: str | None, markup: str | None) -> str:
    """Take the first 200 characters of the text, or of what the HTML shows, with single spaces."""
    words = _fold(text[:_TEXT_LOOKED_AT]) or _fold(text) if text else ""
    if not words and markup:
        words = _fold(clean_text(html.unescape(_visible(markup[:_HTML_LOOKED_AT]))))
    return words[:_LONGEST].rstrip()


def _visible(markup: str) -> str:
    """Drop tags, and elements that show nothing with all they hold; in one pass, so in linear time."""
    shown: list[str] = []
    position = 0
    while match := _UNSEEN.search(markup, position):
        shown.append(markup[position : match.start()])
        name = match[1].lower()
        end = markup.find("-->", match.end()) if name == "!--" else _closing(markup, name, match.end())
        if end < 0:
            position = len(markup)
            break
        position = end + 3
    shown.append(markup[position:])
    return _TAG.sub(" ", "".join(shown)[:_HTML_STRIPPED])


def _closing(markup: str, name: str, position: int) -> int:
    """Find where an element's closing tag ends, less 2: the caller steps over the rest."""
    match = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(markup, position)
    return match.end() - 3 if match else -1


def _fold(text: str) -> str:
    return fold_whitespace(text if text.isascii() else _INVISIBLE.sub("", text))
