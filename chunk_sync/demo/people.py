"""People of the demo mailbox: names in several scripts, addresses in domains reserved for examples."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from random import Random

from chunk_sync.demo.words import encode, entries

_DOMAINS = ("example.com", "example.org", "corp.example", "mail.example.net")
_FIRST = entries("""
Anna Marko Priya Tomas Lucia Grace Edsger Barbara Ken Radia Linus Margaret Dennis Frances Alan Hedy
Tim Katherine Donald Adele Niklaus Ada Joan Vint Sophie Guido Jean Leslie Shafi Butler
""")
_LAST = entries("""
Kovac Meyer Okafor Lindqvist Tanaka Moreau Silva Novak Petrov Haddad Rossi Jensen Murphy Ivanova
Schmidt Garcia Nowak Fischer Costa Larsen Dubois Horvat Weber Santos Bondar Rahman Eriksen Papadakis
Toth Walsh
""")
# Names that need encoded words, each with the charset that its mail program prefers.
_FOREIGN = (
    ("Zoë Björklund", "iso-8859-1"),
    ("José Núñez", "windows-1252"),
    ("Łukasz Wiśniewski", "iso-8859-2"),
    ("Наталія Шевченко", "utf-8"),
    ("Дмитро Мельник", "koi8-u"),
    ("Ольга Кузнецова", "windows-1251"),
    ("山田さくら", "iso-2022-jp"),
    ("鈴木一郎", "shift_jis"),
    ("李伟", "gb2312"),
    ("王小明", "big5"),
    ("김민수", "euc-kr"),
    ("😀 Smile Team", "utf-8"),
)


@dataclass(frozen=True, slots=True)
class Person:
    """A correspondent: display name (may be empty), its charset, address."""

    name: str
    address: str
    charset: str = "us-ascii"

    @property
    def called(self) -> str:
        """The name, or what stands for it."""
        return self.name or self.address

    def header(self, *, q_encoding: bool = False) -> str:
        """Write the person as an address header does."""
        if not self.name:
            return self.address
        if self.charset == "us-ascii":
            return f'"{self.name}" <{self.address}>'
        return f"{encoded_word(self.name, self.charset, q_encoding=q_encoding)} <{self.address}>"


ME = Person("Olena Kovalenko", "olena@example.com")


@cache
def people() -> tuple[Person, ...]:
    """Build the shared correspondents: plain names, names in other scripts, bare addresses."""
    rng = Random("chunk_sync demo people")
    known: list[Person] = []
    for number in range(300):
        address = f"user{number}@{rng.choice(_DOMAINS)}"
        kind = rng.random()
        if kind < 0.1:
            name, charset = rng.choice(_FOREIGN)
            known.append(Person(name, address, charset))
        elif kind < 0.2:
            known.append(Person("", address))
        else:
            known.append(Person(f"{rng.choice(_FIRST)} {rng.choice(_LAST)}", address))
    return tuple(known)


def encoded_word(text: str, charset: str, *, q_encoding: bool = False) -> str:
    """Write RFC 2047, B or Q: folded encoded words, none longer than the 75 characters allowed."""
    step = 6 if q_encoding else 12
    pieces = (encode(text[at : at + step], charset) for at in range(0, len(text), step))
    if q_encoding:
        return "\r\n ".join(f"=?{charset}?Q?{''.join(map(_q_byte, piece))}?=" for piece in pieces)
    return "\r\n ".join(f"=?{charset}?B?{base64.b64encode(piece).decode()}?=" for piece in pieces)


def _q_byte(byte: int) -> str:
    return chr(byte) if byte < 128 and chr(byte).isalnum() else f"={byte:02X}"
