"""The start of an IMAP session: encryption, login, and what both sides are able to.

What a server merely offers (ID, ENABLE, COMPRESS) is asked for and done without when it is refused.
"""

from __future__ import annotations

import base64
import imaplib
import re
from dataclasses import dataclass

from chunk_sync import __version__
from chunk_sync.errors import ProviderError
from chunk_sync.mail.imap_errors import ServerRefused, Stage, declinable, translated
from chunk_sync.mail.imap_reply import parse_capabilities
from chunk_sync.mail.imap_wire import Endpoint, ImapWire, from_imaplib

# Users that LOGIN carries unquoted, as imaplib writes them; all others go through AUTHENTICATE PLAIN.
_ATOM_USER = re.compile(r"[A-Za-z0-9@._+=/!#$&'^`|~-]+")
_LOGIN_PASSWORD = re.compile(r"[\x20-\x7e]+")
_BEARER_REFUSED = b"\x01"  # RFC 7628: how the client ends an exchange that the server has refused


@dataclass(frozen=True, slots=True)
class Account:
    """Who logs in: `secret` is a password, or the access token of `auth` xoauth2 and oauthbearer."""

    user: str
    secret: str
    auth: str | None = None

    @property
    def spellings(self) -> tuple[str, ...]:
        """The secret in all the ways in which it goes over the wire, to cut them out of any text."""
        plain = base64.b64encode(f"\0{self.user}\0{self.secret}".encode(errors="surrogateescape")).decode("ascii")
        quoted = self.secret.replace("\\", "\\\\").replace('"', '\\"')
        return tuple(secret for secret in (plain, quoted, self.secret) if secret)


def log_in(endpoint: Endpoint, account: Account, *, silence: float, patience: float, max_literal: int) -> ImapWire:
    """Connect and begin a session; raises ProviderError."""
    with translated(Stage.CONNECT, account.spellings):
        wire = ImapWire(endpoint, silence=silence, patience=patience, max_literal=max_literal)
    try:
        with translated(Stage.CONNECT, account.spellings):
            secure(wire, endpoint)
        with translated(Stage.LOGIN, account.spellings):
            sign_in(wire, endpoint, account)
            introduce(wire, endpoint)
    except ProviderError:
        wire.shutdown()
        raise
    return wire


def secure(wire: ImapWire, endpoint: Endpoint) -> None:
    """Begin STARTTLS unless the line is encrypted or may stay plain (loopback without a `ca`)."""
    if endpoint.tls or (endpoint.is_loopback and not endpoint.ca_file and "LOGINDISABLED" not in wire.capabilities):
        return
    if "STARTTLS" not in wire.capabilities:
        text = b"[PRIVACYREQUIRED] the server offers no STARTTLS: use imaps://, passwords are not sent unencrypted"
        raise ServerRefused("NO", text)
    wire.run("STARTTLS")
    wire.begin_tls()
    _refresh_capabilities(wire)


def sign_in(wire: ImapWire, endpoint: Endpoint, account: Account) -> None:
    """Log in; raises ServerRefused with the server's own text."""
    try:
        if account.auth == "xoauth2":
            _authenticate(wire, "XOAUTH2", f"user={account.user}\1auth=Bearer {account.secret}\1\1", b"")
        elif account.auth == "oauthbearer":
            place = f"host={endpoint.host}\1port={endpoint.port}"
            answer = f"n,a={_sasl_name(account.user)},\1{place}\1auth=Bearer {account.secret}\1\1"
            _authenticate(wire, "OAUTHBEARER", answer, _BEARER_REFUSED)
        elif (
            _ATOM_USER.fullmatch(account.user)
            and _LOGIN_PASSWORD.fullmatch(account.secret)
            and "LOGINDISABLED" not in wire.capabilities
        ):
            wire.login(account.user, account.secret)
        else:
            _authenticate(wire, "PLAIN", f"\0{account.user}\0{account.secret}", b"")
    except imaplib.IMAP4.error as exc:
        raise from_imaplib(exc) from None
    _refresh_capabilities(wire)


def introduce(wire: ImapWire, endpoint: Endpoint) -> None:
    """Say who we are and switch on what helps: changes by number, mail with UTF-8 headers, compression."""
    offered = frozenset(wire.capabilities)
    started: list[bytes] = []
    if "ID" in offered:  # some providers serve nobody who does not say so
        started.append(wire.start(f'ID ("name" "chunk_sync" "version" "{__version__}")'))
    changes = next((name for name in ("QRESYNC", "CONDSTORE") if name in offered), None)
    # A server that says UTF8=ONLY demands what others offer as UTF8=ACCEPT.
    asked = [changes, "UTF8=ACCEPT" if offered & {"UTF8=ACCEPT", "UTF8=ONLY"} else None]
    if any(asked) and "ENABLE" in offered:
        started.append(wire.start(f"ENABLE {' '.join(filter(None, asked))}"))
    for tag in started:
        with declinable():
            for reply in wire.replies(tag):
                wire.enabled |= frozenset(parse_capabilities(reply, "ENABLED") or ())
    wanted_here = endpoint.compress if endpoint.compress is not None else not endpoint.is_loopback
    if wanted_here and "COMPRESS=DEFLATE" in offered:
        with declinable():
            wire.run("COMPRESS DEFLATE")
            wire.begin_compression()


def _authenticate(wire: ImapWire, mechanism: str, answer: str, goodbye: bytes) -> None:
    """Answer the server's first challenge with the secret, and a second one, which explains a refusal, with goodbye."""
    answers = iter([answer.encode(errors="surrogateescape")])
    wire.authenticate(mechanism, lambda _challenge: next(answers, goodbye))


def _sasl_name(name: str) -> str:
    return name.replace("=", "=3D").replace(",", "=2C")


def _refresh_capabilities(wire: ImapWire) -> None:
    """Ask for the capabilities again: they change with TLS and with the login."""
    for reply in wire.replies(wire.start("CAPABILITY")):
        capabilities = parse_capabilities(reply)
        if capabilities is not None:
            wire.capabilities = capabilities
