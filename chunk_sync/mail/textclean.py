"""Text that PostgreSQL accepts: from bytes in any charset, without U+0000 and lone surrogates. Pure."""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import NamedTuple

_BAD = re.compile("[\x00\ud800-\udfff]")
_CHARSET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,39}")
# Codecs that Python has and mail does not: escapes, names of hosts (quadratic in time), the OS's own.
_NO_CHARSETS = frozenset(
    "idna punycode undefined unicode_escape raw_unicode_escape unicode_internal mbcs oem".split()  # noqa: SIM905
)
# Plain ASCII to most charsets, and something else to UTF-7, HZ, ISO-2022, UTF-16 and EBCDIC.
_SHIFTS = b"A+ADw- ~{VD~} \x1b$B$\x1b(B~\\"
# Names that Python does not know, and names that in mail mean the larger charset of the same family.
_ALIASES = {
    "ansi_x3.110-1983": "iso8859-1",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso-8859-6-i": "iso8859-6",
    "iso-8859-8-e": "iso8859-8",
    "iso-8859-8-i": "iso8859-8",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "shift_jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "unicode-1-1-utf-7": "utf-7",
    "utf8mb4": "utf-8",
    "windows-874": "cp874",
    "x-gbk": "gb18030",
    "x-mac-roman": "mac_roman",
}


class _Codec(NamedTuple):
    name: str
    contains_ascii: bool


def clean_text(text: str) -> str:
    """Replace what PostgreSQL refuses, U+0000 and lone surrogates, by U+FFFD."""
    if "\0" not in text:
        try:
            text.encode()  # ten times as fast as looking for surrogates
        except UnicodeEncodeError:
            pass
        else:
            return text
    return _BAD.sub("\ufffd", text)


def decode_text(data: bytes, charset: str | None, limit: int | None = None) -> tuple[str, bool]:
    """Decode bytes: by the declared charset, else UTF-8, else what loses least; at most `limit` characters.

    Returns the text, clean, and whether the declared charset fitted. Without a declaration UTF-8 fits.
    """
    cut = data if limit is None else data[: 4 * limit]
    declared = _codec(charset.strip().strip("'\"")) if charset else _UTF8
    if declared is not None and declared.contains_ascii and cut.isascii():
        return clean_text(cut.decode("ascii")[:limit]), True
    final = len(cut) == len(data)
    text = _decode(cut, declared, final=final) if declared else None
    fitted = text is not None
    if text is None and declared is not _UTF8:
        text = _decode(cut, _UTF8, final=final)
    if text is None:
        # Nothing fits. A charset that is known keeps the rest readable.
        known = declared if charset and declared != _ASCII else None
        text = cut.decode(known.name, "replace") if known else _decode_western(cut)
    return clean_text(text[:limit]), fitted


def fold_whitespace(text: str) -> str:
    """Join words with single spaces."""
    return " ".join(text.split())


def _decode(data: bytes, codec: _Codec, *, final: bool) -> str | None:
    try:
        if codec.name == "iso8859-1":
            return _decode_western(data)
        if final:
            return data.decode(codec.name)
        # Incremental, so that a cut in the middle of a character is no error.
        return codecs.getincrementaldecoder(codec.name)("strict").decode(data, final)
    except ValueError:
        return None


def _decode_western(data: bytes) -> str:
    """Decode what calls itself Latin-1: mostly Windows-1252 in truth, and never a failure."""
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1")


@lru_cache(maxsize=512)
def _codec(charset: str) -> _Codec | None:
    """Find Python's codec of a charset; None when it knows none or it is not for mail."""
    if not _CHARSET_NAME.fullmatch(charset):
        return None
    try:
        name = codecs.lookup(_ALIASES.get(charset.lower(), charset)).name
        "".encode(name)  # refuses codecs that are no text encodings (base64, rot13, zip)
        codecs.getincrementaldecoder(name)
    except (LookupError, ValueError):
        return None
    if name.replace("-", "_") in _NO_CHARSETS:
        return None
    return _Codec(name, contains_ascii=_SHIFTS.decode(name, "replace") == _SHIFTS.decode("ascii"))


_UTF8 = _Codec("utf-8", contains_ascii=True)
_ASCII = _Codec("ascii", contains_ascii=True)
