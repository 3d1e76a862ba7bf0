"""What fuzzing IMAP needs: a connection whose server is a string of bytes, and first bytes to begin with."""

from __future__ import annotations

import re
from unittest import mock

from chunk_sync.mail.imap_wire import Endpoint, ImapWire

MAX_LITERAL = 1 << 12
_GREETING = b"* OK [CAPABILITY IMAP4rev1] ready\r\n"
_CAPABILITIES = b"* CAPABILITY IMAP4rev1 LITERAL+\r\n"

SEPARATOR = b"\x1e"
"""Between the pieces of a reply that is built by hand: text, literal, text, …"""

SEEDS = [
    rb'* LIST (\HasNoChildren \Sent) "/" "Sent Items"',
    b'* LIST () "." INBOX',
    b"* list () NIL INBOX",
    rb'* LIST (\Noselect) "\\" "a\"b\\c"',
    b'* LIST () "/" {3}\r\na"b',
    b'* LIST () "/" foo ("CHILDINFO" ("SUBSCRIBED"))',
    b'* LIST () "/" &U,BTFw-/&ZeVnLIqe-',
    rb'* 12 FETCH (FLAGS (\Seen $X) INTERNALDATE "17-Jul-1996 02:44:25 -0700" RFC822.SIZE 4286 UID 9)',
    b"* 1 FETCH (UID 7 BODY[] {5}\r\nraw\r\n)",
    b"* 1 FETCH (UID 7 BODY[] ~{5}\r\nraw\r\n)\r\n* 2 FETCH (UID 8 BODY[] NIL)",
    b"* 1 FETCH (UID 7 BODY[] {5000}\r\n" + b"x" * 5000 + b")",
    b"* 1 FETCH (UID 7 BODY[] {99999999999}\r\nx)",
    b'* 1 FETCH (UID 7 MODSEQ (65402) X-GM-LABELS ("\\\\Inbox" "&2D3eAA-" foo) FLAGS ())',
    b"* 1 FETCH (" + b"(" * 40 + b")" * 40 + b")",
    b"* SEARCH 2 84 882",
    b'* ESEARCH (TAG "S1") UID ALL 4:18,21',
    b"* VANISHED (EARLIER) 41,43:116",
    b"* VANISHED (EARLIER) 1:99999999999999999999",
    b'* NAMESPACE (("" "/")) (("~" "/")) (("#shared/" "/")("#public/" "/"))',
    b'* NAMESPACE (("INBOX." ".")) NIL NIL',
    b"* 23 EXISTS",
    b"* OK [UIDNEXT 4392] Predicted next UID\r\n* OK [MAILBOXID (F2212ea87)] ok\r\n* OK [HIGHESTMODSEQ 715194045007] x",
    b"* CAPABILITY IMAP4rev1 UIDPLUS\r\n* ENABLED QRESYNC",
    b"* NO [ALERT] busy\r\n* BYE [UNAVAILABLE] Suggested Backoff Time: 92415 milliseconds",
    b"* 1 FETCH (UID 7 BODY[] \x1eraw\x1e)",
    b"S1 NO [AUTHENTICATIONFAILED] no",
    b"S1 BAD [LIMIT] too many connections, try again in 3 minutes",
    b"S1 OK",
    b"+ idling",
    b"S2 OK done",
]

WORDS = [
    *[b"* ", b"\r\n", b"* OK [", b"* NO ", b"* BAD ", b"* BYE ", b"* PREAUTH ", b"S1 OK ", b"S1 NO ", b"S1 BAD "],
    *[b"FETCH (", b"UID ", b"RFC822.SIZE ", b'INTERNALDATE "17-Jul-1996 02:44:25 -0700"', b"FLAGS (", b"MODSEQ (1)"],
    *[b"BODY[] ", b"RFC822 ", b"X-GM-LABELS (", b"NIL", b"{1}\r\n", b"~{0}\r\n", b"{5000}\r\n", b"{10000}\r\n"],
    *[b"LIST () ", b"SEARCH ", b"ESEARCH ", b" ALL ", b"VANISHED (EARLIER) ", b"NAMESPACE ", b"EXISTS", b"CAPABILITY "],
    *[b"[UIDVALIDITY 1]", b"[UIDNEXT 1]", b"[HIGHESTMODSEQ 1]", b"[MAILBOXID (x)]", b'(("" "/"))', b"\\Seen"],
    *[b"4294967295", b"4294967296", b"18446744073709551616", b"9999999999999999999", b"1:", b",", b'"', b"\\", b"["],
    *[b"retry in 9 hours", b"wait 0.5 ms", SEPARATOR, b"\xff", b"&AOQ-", b"&-", b"&2D0-", b"{18446744073709551616}"],
]


class _Server:
    """A socket whose other end answers imaplib's own question, and then everything with the bytes that it has."""

    def __init__(self, greeting: bytes, answer: bytes) -> None:
        self._waiting = greeting
        self._answer = answer

    def sendall(self, data: bytes) -> None:
        tag, _, command = bytes(data).partition(b" ")
        if command.startswith(b"CAPABILITY"):
            self._waiting += _CAPABILITIES + tag + b" OK done\r\n"
        elif re.match(rb"S\d+$", tag):
            self._waiting += self._answer
            self._answer = b""

    def recv_into(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._waiting))
        buffer[:count] = self._waiting[:count]
        self._waiting = self._waiting[count:]
        return count

    def settimeout(self, seconds: float) -> None: ...

    def setsockopt(self, *option: int) -> None: ...

    def close(self) -> None: ...


def connect(answer: bytes, *, greeting: bytes = _GREETING, compressed: bool = False) -> ImapWire:
    """Connect to a server that greets thus and answers the first command with `answer`, then hangs up."""
    server = _Server(greeting, answer)
    with mock.patch("socket.create_connection", return_value=server):
        endpoint = Endpoint("localhost", 143, tls=False)
        wire = ImapWire(endpoint, silence=1, patience=60, max_literal=MAX_LITERAL)
    if compressed:
        wire.begin_compression()
        wire._squeezer = None  # only what the server sends is compressed
    return wire
