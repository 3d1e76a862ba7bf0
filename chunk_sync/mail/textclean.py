"""Text that PostgreSQL accepts: from bytes in any charset, without U+0000 and lone surrogates. Pure."""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

_BAD = re.compile("[\x00\ud800-\udfff]")
_CHARSET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,39}")
# Codecs that Python has and mail does not: escapes, names of hosts (quadratic in time), the OS's own.
_NO_CHARSETS = frozenset(
    "idna punycode undefined unicode_escape raw_unicode_escape unicode_internal mbcs oem".split()  # noqa: SIM905
)
_UTF8 = "utf-8"


def clean_text(text: str) -> str:
    """Replace what PostgreSQL refuses, U+0000 and lone surrogates, by U+FFFD."""
    return _BAD.sub("\ufffd", text)


def decode_text(data: bytes, charset: str | None, limit: int | None = None) -> tuple[str, bool]:
    """Decode bytes: by the declared charset, else UTF-8, else what loses least; at most `limit` characters.

    Returns the text, clean, and whether the declared charset fitted. Without a declaration UTF-8 fits.
    """
    cut = data if limit is None else data[: 4 * limit]
    final = len(cut) == len(data)
    declared = _codec(charset.strip().strip("'\"")) if charset else _UTF8
    text = _decode(cut, declared, final=final) if declared else None
    fitted = text is not None
    if text is None and declared != _UTF8:
        text = _decode(cut, _UTF8, final=final)
    if text is None:
        # Nothing fits. A known charset with some bad bytes keeps the rest readable.
        known = declared is not None and declared != "ascii" and charset is not None
        text = cut.decode(declared, "replace") if known and declared else _decode_western(cut)
    return clean_text(text[:limit]), fitted


def fold_whitespace(text: str) -> str:
    """Join words with single spaces."""
    return " ".join(text.split())


def _decode(data: bytes, codec: str, *, final: bool) -> str | None:
    try:
        if codec == "iso8859-1":
            return _decode_western(data)
        # Incremental, so that a cut in the middle of a character is no error.
        return codecs.getincrementaldecoder(codec)("strict").decode(data, final)
    except (UnicodeError, ValueError):
        return None


def _decode_western(data: bytes) -> str:
    """Decode what calls itself Latin-1: mostly Windows-1252 in truth, and never a failure."""
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1")


@lru_cache(maxsize=512)
def _codec(charset: str) -> str | None:
    """Find Python's name of a charset; None when it knows none or it is not for mail."""
    if not _CHARSET_NAME.fullmatch(charset):
        return None
    try:
        name = codecs.lookup(charset).name
        "".encode(name)  # refuses codecs that are no text encodings (base64, rot13, zip)
        codecs.getincrementaldecoder(name)
    except (LookupError, ValueError):
        return None
    return None if name.replace("-", "_") in _NO_CHARSETS else name
