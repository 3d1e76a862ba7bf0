"""What stands in header fields: addresses, message ids, MIME parameters. Pure, and never raises.

The grammars are read loosely and in linear time: mail is written by everybody.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from urllib.parse import unquote_to_bytes

from chunk_sync.mail.headers import decode_words
from chunk_sync.mail.textclean import clean_text, decode_text, fold_whitespace

_LONGEST_NAME = 500
_LONGEST_ID = 500
_LONGEST_CACHED = 100


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox of an address field; at least one of the two is given."""

    name: str | None
    address: str | None


_ADDRESS_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")|<([^<>]*)>|([,;:()])|([^",;:<>()]+)|(.)', re.DOTALL)
# After a quote without its other half there are no quoted strings: looking for them again costs the square.
_UNQUOTED_TOKEN = re.compile(r'((?!))|<([^<>]*)>|([,;:()])|([^",;:<>()]+)|(.)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class _OneAddress:
    """The pieces of the address that is being read."""

    __slots__ = ("angle", "comment", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.angle: str | None = None
        self.comment: list[str] = []

    def finish(self) -> Address | None:
        name, address = "".join(self.text), self.angle
        if address is None and "@" in name:
            name, address = _split_bare(name)
        name = _decoded_name(name if name.strip() else "".join(self.comment))
        # A route (`<@a,@b:user@host>`, obsolete since 2001) is no part of the address.
        if address and address.startswith("@"):
            address = address.rpartition(":")[2]
        address = (address or "").strip()
        if '"' not in address:
            address = "".join(address.split())
        if not name and not address:
            return None
        return Address(name or None, clean_text(address)[:_LONGEST_NAME] or None)


# Most lists: `Ann <a@x>, "Bob B." <b@x>, c@x` without comments, groups and escapes.
_ATOM = r'[^<>\s@"(),:;\\]{1,250}'
_PLAIN_ADDRESS = re.compile(
    rf'\s*(?:(?:"([^"\\<>]{{1,250}})"\s*|([^"(),:;<>@\\]{{0,250}}))<({_ATOM}@{_ATOM})>|({_ATOM}@{_ATOM}))\s*(?:,|$)'
)


def parse_addresses(value: str, limit: int) -> tuple[Address, ...]:
    """Read an address list as it was written (encoded words still encoded), groups flattened; at most `limit`."""
    plain: list[Address] = []
    position = 0
    while position < len(value) and len(plain) < limit:
        match = _PLAIN_ADDRESS.match(value, position)
        if match is None:  # some address is not so plain: read the whole list with care
            return tuple(islice(_addresses(value), limit))
        quoted, bare, address, alone = match.groups()
        name = (quoted or bare or "").strip()
        if name and ("=?" in name or "  " in name):
            name = _decoded_name(name)
        plain.append(Address(name or None, address or alone))
        position = match.end()
    return tuple(plain)


def _decoded_name(name: str) -> str:
    return clean_text(fold_whitespace(decode_words(name)))[:_LONGEST_NAME]


def _addresses(value: str) -> Iterator[Address]:
    one, depth = _OneAddress(), 0
    for quoted, angle, sign, text, after in _address_tokens(value):
        if sign in {"(", ")"}:
            depth = max(0, depth + (1 if sign == "(" else -1))
        elif depth:
            one.comment.append(quoted or angle or sign or text or " ")
        elif sign == ":" and one.angle is None:
            one = _OneAddress()  # what came before is the name of a group
        elif sign in {",", ";"}:
            if (finished := one.finish()) is not None:
                yield finished
            one = _OneAddress()
        elif angle is not None and one.angle is None:
            one.angle = angle
        elif quoted is not None:
            # A quoted local part keeps its quotes: it belongs to the address.
            one.text.append(quoted if after == "@" else _ESCAPE.sub(r"\1", quoted[1:-1]))
        else:
            one.text.append(text or " ")  # a quote or a bracket without its other half
    if (finished := one.finish()) is not None:
        yield finished


def _address_tokens(value: str) -> Iterator[tuple[str | None, str | None, str | None, str | None, str]]:
    """Cut a list into quoted strings, `<…>`, signs and text, each with the character that follows it."""
    position, token = 0, _ADDRESS_TOKEN
    while match := token.match(value, position):
        quoted, angle, sign, text, stray = match.groups()
        position = match.end()
        yield quoted, angle, sign, text, value[position : position + 1]
        if stray == '"':
            token = _UNQUOTED_TOKEN


def _split_bare(text: str) -> tuple[str, str]:
    """Find the address in a text without angle brackets: the first word with an @."""
    if text.startswith('"') and '"@' in text:
        return "", text.strip()
    words = text.split()
    address = next(word for word in words if "@" in word)
    words.remove(address)
    return " ".join(words), address


_ID = re.compile(r"<([^<>]*)>")


def parse_ids(text: str) -> list[str]:
    """Read message ids without their angle brackets, in order; glued ones (`<a><b>`) are told apart.

    A field without any bracket may be one bare id. Overlong ids keep their beginning and a hash.
    """
    found = [tidy for inner in _ID.findall(text) if (tidy := _tidy_id(inner))]
    if not found and "<" not in text and "@" in text and len(text.split()) == 1:
        found = [_tidy_id(text)]
    return found


def _tidy_id(text: str) -> str:
    tidy = "".join(text.split())
    if len(tidy) <= _LONGEST_ID:
        return tidy
    return f"{tidy[: _LONGEST_ID - 65]}#{hashlib.sha256(tidy.encode()).hexdigest()}"


def shorten_references(ids: list[str], limit: int) -> tuple[str, ...]:
    """Drop doubles, and cut a long chain in its middle: the thread's root and the nearest parents stay."""
    unique = list(dict.fromkeys(ids))
    return tuple(unique if len(unique) <= limit else unique[:1] + unique[1 - limit :])


_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"?|[^;]*)', re.DOTALL)
_NUMBERED = re.compile(r"([^*]+)(?:\*(\d{1,3}))?(\*)?")


def parse_parameters(value: str) -> tuple[str, Mapping[str, str]]:
    """Read `text/plain; charset=utf-8` into its main value and its parameters, names in lower case.

    Values come decoded: RFC 2231 (`name*0*=utf-8''…`), and encoded words where they do not belong.
    """
    return _parameters(value) if len(value) < _LONGEST_CACHED else _parameters.__wrapped__(value)


@lru_cache(maxsize=1024)
def _parameters(value: str) -> tuple[str, Mapping[str, str]]:
    plain: dict[str, str] = {}
    pieces: dict[str, list[tuple[int, bool, str]]] = {}
    for name, text in _PARAMETER.findall(value):
        match = _NUMBERED.fullmatch(name.lower())
        if match is None:
            continue
        if match[2] is None and match[3] is None:
            plain.setdefault(match[1], _unquoted(text))
        else:
            pieces.setdefault(match[1], []).append((int(match[2] or 0), bool(match[3]), _unquoted(text)))
    decoded = {name: clean_text(decode_words(text) if "=?" in text else text) for name, text in plain.items()}
    # The extended form wins: the plain one beside it is for old programs.
    decoded.update({name: _joined(numbered) for name, numbered in pieces.items()})
    return fold_whitespace(value.partition(";")[0]).lower(), MappingProxyType(decoded)


def _unquoted(text: str) -> str:
    text = text.strip()
    if not text.startswith('"'):
        return text
    # Only the two characters that need it are unescaped: Windows paths come with bare backslashes.
    return text[1:].removesuffix('"').replace('\\"', '"').replace("\\\\", "\\")


def _joined(pieces: list[tuple[int, bool, str]]) -> str:
    """Put the pieces of an RFC 2231 value together; the charset stands in the first."""
    charset, data = "", b""
    for index, (_, extended, text) in enumerate(sorted(pieces, key=lambda piece: piece[0])):
        rest = text
        if index == 0 and extended and text.count("'") >= 2:  # noqa: PLR2004  charset'language'text
            charset, _, rest = text.split("'", 2)
        data += unquote_to_bytes(rest) if extended else rest.encode("utf-8", "replace")
    return decode_text(data, charset or None)[0]
