"""The fast parser: fast-mail-parser's MIME tree, taken only where nothing about a message is odd.

Odd is whatever the reference (`parse_fallback`) might read otherwise: then this gives None.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from fast_mail_parser import ParseError, PyLazyMimePart, parse_email_tree

from chunk_sync.mail.header_values import parse_parameters
from chunk_sync.mail.headers import HeaderBlock, decode_header
from chunk_sync.mail.structure import KNOWN_ENCODINGS, UNENCODED, Leaf, ParseLimits, Structure

_CONTENT_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
# Encoded words cost the library the square of their number, and it decodes those of all parts.
_SMALL = 1 << 16
_MANY_WORDS = 2_000
# After a delimiter: the last one's end, or fields and a blank line, so that nobody asks where a part's body begins.
_PART_HEAD = re.compile(
    rb"--[ \t]*(?:\r?\n|\Z)|[ \t]*\r?\n(?:[!-9;-~]+:[^\x00-\x08\n-\x0c\x0e-\x1f\x7f]*\n"
    rb"(?:[ \t]+[^\s][^\x00-\x08\n-\x0c\x0e-\x1f\x7f]*\n)*)*\r?\n"
)
# Half a CRLF. Patterns that begin with one byte are searched for at several times the speed of `count`.
_LONE_CR = re.compile(rb"\r(?!\n)")
_LONE_LF = re.compile(rb"\n(?<!\r\n)")
_STRAY_SIGN = re.compile(rb"=[\x00-\x09\x0b\x0c\x0e-\x20\x7f]")
_SIMPLE_BOUNDARY = re.compile(r"[A-Za-z0-9'()+_,./:=?-]{1,70}")


class _Odd(Exception):
    """The message needs the reference parser."""


def fast_structure(raw: bytes, head: HeaderBlock, limits: ParseLimits) -> Structure | None:
    """Read a message's parts; None when it is odd."""
    if head.defects or not raw[: head.body].isascii() or _LONE_CR.search(raw):
        return None
    if len(raw) > _SMALL and raw.count(b"=?") > _MANY_WORDS:
        return None
    root = _parse(raw)
    if root is None:
        return None
    defects: list[str] = []
    try:
        leaves = tuple(_leaves(raw, root, head, limits, defects))
    except (_Odd, ParseError):
        return None
    return Structure(leaves, tuple(defects))


def _parse(raw: bytes) -> PyLazyMimePart | None:
    try:
        return parse_email_tree(raw, mode="lazy")
    except ParseError:
        return None
    except BaseException as exc:
        # A panic in Rust arrives as a BaseException that nobody can import.
        if type(exc).__name__ != "PanicException":
            raise
        return None


def _leaves(
    raw: bytes, root: PyLazyMimePart, head: HeaderBlock, limits: ParseLimits, defects: list[str]
) -> Iterator[Leaf]:
    """Walk the tree in order without recursion, as far as the limits allow."""
    top = _top_headers(head)
    ascii_only = raw.isascii()
    quoted: list[Leaf] = []
    boundaries: set[str] = set()
    stack = [(root, "", 0)]
    count = 0
    while stack:
        node, path, depth = stack.pop()
        headers = _mime_headers(node, ascii_only=ascii_only) if depth else top
        count += 1
        if depth > limits.depth:
            raise _Odd  # the reference reads even less of it
        if beyond := limits.exceeded(depth, count):
            defects.append(beyond)
            return
        if not node.content_type.startswith("multipart/"):
            leaf = _leaf(node, headers, path or "1")
            if headers.get("content-transfer-encoding", "").lower() == "quoted-printable":
                quoted.append(leaf)
            yield leaf
            continue
        _check_container(raw, node, headers, boundaries)
        prefix = f"{path}." if path else ""
        stack.extend(
            (child, f"{prefix}{number}", depth + 1) for number, child in reversed(list(enumerate(node.children, 1)))
        )
    if quoted:
        _check_quoted(raw, head.body, quoted, ascii_only=ascii_only)


def _top_headers(head: HeaderBlock) -> dict[str, str]:
    """Take the message's own MIME fields from our reading of its header: the library's costs more."""
    names = [name for name in head.by_name if name.startswith("content-")]
    if any(len(head.by_name[name]) > 1 for name in names):
        raise _Odd
    return {name: decode_header(head.by_name[name][0]) for name in names}


def _mime_headers(node: PyLazyMimePart, *, ascii_only: bool) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, values in node.headers.items():
        lower = name.lower()
        if lower.startswith("content-"):
            # Doubled fields, and bytes whose charset somebody must guess, are for the reference.
            if lower in headers or len(values) > 1 or not (ascii_only or values[0].isascii()):
                raise _Odd
            headers[lower] = values[0]
    return headers


def _check_container(raw: bytes, node: PyLazyMimePart, headers: dict[str, str], boundaries: set[str]) -> None:
    boundary = parse_parameters(headers.get("content-type", ""))[1].get("boundary", "")
    encoding = headers.get("content-transfer-encoding", "").lower()
    if (
        not node.children
        or not _CONTENT_TYPE.fullmatch(node.content_type)
        or node.content_type == "multipart/digest"  # its parts are messages by default
        or encoding not in UNENCODED
        or not _SIMPLE_BOUNDARY.fullmatch(boundary)
        or boundary in boundaries  # whose delimiter is it?
        or not _is_delimited(raw, boundary.encode("ascii"), len(node.children))
    ):
        raise _Odd
    boundaries.add(boundary)


def _is_delimited(raw: bytes, boundary: bytes, parts: int) -> bool:
    """Say whether there is a delimiter for each part and then a last one, each followed clearly, none elsewhere."""
    delimiter = b"\n--" + boundary
    ends: list[bool] = []
    position = raw.find(delimiter)
    while position >= 0:
        position += len(delimiter)
        head = _PART_HEAD.match(raw, position)
        if head is None:
            return False
        ends.append(head[0].startswith(b"--"))
        position = raw.find(delimiter, position)
    return ends == [*[False] * parts, True]


def _check_quoted(raw: bytes, body: int, leaves: Collection[Leaf], *, ascii_only: bool) -> None:
    """Decline what the library decodes otherwise.

    It drops raw bytes that are not ASCII, and blanks with the `=` before them, makes CRLF of LF, and leaves a `=`
    alone that is not followed by two digits: then there are more of them than were written as `=3D`.
    """
    signs = sum(leaf.content.count(b"=") for leaf in leaves) - raw.count(b"=3D", body)
    if (
        not ascii_only
        or (signs and signs != raw.count(b"=3d", body))
        or _STRAY_SIGN.search(raw, body)
        or (_LONE_LF.search(raw) and (b"=0D" in raw or b"=0d" in raw or not all(leaf.is_body for leaf in leaves)))
    ):
        raise _Odd


def _leaf(node: PyLazyMimePart, headers: dict[str, str], path: str) -> Leaf:
    encoding = headers.get("content-transfer-encoding", "").lower()
    declared, parameters = parse_parameters(headers.get("content-type", "text/plain"))
    disposition, named = parse_parameters(headers.get("content-disposition", ""))
    if encoding not in KNOWN_ENCODINGS or declared != node.content_type or not _CONTENT_TYPE.fullmatch(declared):
        raise _Odd
    return Leaf(
        path=path,
        content_type=declared,
        charset=parameters.get("charset"),
        filename=named.get("filename") or parameters.get("name"),
        content_id=headers.get("content-id", "").strip("<> ") or None,
        disposition=disposition or None,
        content=node.content or b"",
    )
