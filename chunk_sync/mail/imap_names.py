"""Folder names: modified UTF-7 (RFC 3501 §5.1.3) and the roles of folders. Pure."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from chunk_sync.mail.source import SourceFolder
from chunk_sync.mail.textclean import clean_text

_PRINTABLE = re.compile("&|[^\x20-\x7e]+")
_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*)-")

# RFC 6154, and how folders are called where a server does not say their use.
_BY_ATTRIBUTE = {f"\\{role}": role for role in ("all", "archive", "drafts", "flagged", "junk", "sent", "trash")}
_BY_NAME: dict[str, str] = {
    name: role
    for role, names in {
        "sent": (
            "sent|sent items|sent messages|sent mail|gesendet|gesendete elemente|gesendete objekte|"
            "envoyés|éléments envoyés|messages envoyés|enviados|elementos enviados|posta inviata|verzonden items"
        ),
        "drafts": "drafts|draft|entwürfe|brouillons|borradores|rascunhos|bozze|concepten",
        "trash": (
            "trash|deleted items|deleted messages|deleted|bin|papierkorb|gelöschte elemente|gelöscht|"
            "corbeille|éléments supprimés|papelera|elementos eliminados|lixeira|cestino|prullenbak"
        ),
        "junk": "junk|spam|junk e-mail|junk email|junk mail|bulk mail|courrier indésirable|correo no deseado",
        "archive": "archive|archives|archiv|all archived",
        "all": "all mail|alle nachrichten|tous les messages",
        "flagged": "starred|flagged|markiert",
    }.items()
    for name in names.split("|")
}
# Folders that show the mail of others once more. Not \All: who has archived a message may have it only there.
_VIEWS = frozenset({"\\flagged", "\\important"})
# A well-known name counts at the top, below INBOX (Courier, Cyrus) and below Gmail's own folder.
_PARENTS = frozenset({"", "inbox", "[gmail]", "[google mail]"})


@dataclass(frozen=True, slots=True)
class FolderName:
    """A folder before its role is known: the source's key, the readable path, the special-use attributes.

    One that is not the account's own is somebody else's, or shared.
    """

    key: str
    path: str
    attributes: frozenset[str] = frozenset()
    is_own: bool = True


def decode_modified_utf7(name: bytes) -> str | None:
    """Decode a folder name; None when it is not modified UTF-7."""
    parts: list[str] = []
    position = 0
    for match in _SHIFTED.finditer(name):
        parts.append(_plain(name[position : match.start()]))
        parts.append(_shifted(match[1]) if match[1] else "&")
        position = match.end()
    parts.append(_plain(name[position:]))
    decoded = "".join(part for part in parts if part)
    return None if any(part == "" for part in parts[1::2]) or "\ufffd" in decoded else decoded


def encode_modified_utf7(name: bytes) -> bytes:
    """Write a UTF-8 folder name as servers without UTF8=ACCEPT do; what is no UTF-8 stays as it is."""
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return name
    return _PRINTABLE.sub(_pack, text).encode("ascii")


def readable_name(name: bytes) -> str:
    """Decode a folder name for people: modified UTF-7, else UTF-8, else Latin-1; always storable text."""
    decoded = decode_modified_utf7(name) if name.isascii() else None
    if decoded is None:
        try:
            decoded = name.decode("utf-8")
        except UnicodeDecodeError:
            decoded = name.decode("latin-1")
    return clean_text(decoded)


def with_roles(names: Iterable[FolderName]) -> list[SourceFolder]:
    """Give folders their roles and order: inbox first, then by path; each role at most once."""
    ordered = sorted(names, key=lambda name: (name.path.upper() != "INBOX", name.path.casefold(), name.key))
    folders = [SourceFolder(n.key, n.path, _special_use(n), n.is_own and not n.attributes & _VIEWS) for n in ordered]
    taken = {folder.role for folder in folders}
    for index, folder in enumerate(folders):
        role = _role_by_name(folder.path) if folder.role is None else None
        if role is not None and role not in taken:
            folders[index] = replace(folder, role=role)
            taken.add(role)
    return folders


def _special_use(name: FolderName) -> str | None:
    if name.path.upper() == "INBOX":
        return "inbox"
    return next((_BY_ATTRIBUTE[a] for a in sorted(name.attributes) if a in _BY_ATTRIBUTE), None)


def _role_by_name(path: str) -> str | None:
    parent, _, last = path.casefold().rpartition("/")
    return _BY_NAME.get(last) if parent in _PARENTS else None


def _pack(match: re.Match[str]) -> str:
    if match[0] == "&":
        return "&-"
    packed = binascii.b2a_base64(match[0].encode("utf-16-be"), newline=False)
    return f"&{packed.decode('ascii').rstrip('=').replace('/', ',')}-"


def _plain(name: bytes) -> str:
    """Decode the unshifted part; a lone `&` or a byte outside ASCII is an error, shown as U+FFFD."""
    return "\ufffd" if b"&" in name else name.decode("ascii", "replace")


def _shifted(packed: bytes) -> str:
    """Decode one shifted run; empty when it is no UTF-16."""
    padded = packed.replace(b",", b"/") + b"=" * (-len(packed) % 4)
    try:
        return binascii.a2b_base64(padded).decode("utf-16-be")
    except (binascii.Error, UnicodeDecodeError):
        return ""
