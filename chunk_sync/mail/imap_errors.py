"""IMAP troubles and their categories: response code first, then the text, then the exception's type.

Many servers (Exchange, Outlook.com, Kerio) send no `[CODE]`, hence the table of texts; the strings are
real ones. What concerns the whole connection (login, throttling) has the scope `account`.
"""

from __future__ import annotations

import errno
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from chunk_sync.domain.categorize import categorize_exception, match_text
from chunk_sync.errors import ErrorCategory, ErrorScope, ProviderError
from chunk_sync.mail.imap_reply import status_code
from chunk_sync.mail.imap_tokens import ReplyError

_C = ErrorCategory


class Stage(StrEnum):
    """What was being done when it went wrong; decides the scope and the wording."""

    CONNECT = "connect"
    LOGIN = "login"
    LIST = "list"
    SELECT = "select"
    FETCH = "fetch"
    LISTEN = "listen"


class ServerRefused(Exception):
    """The server answered NO, BAD or BYE. For this package only: it ends as a ProviderError."""

    def __init__(self, kind: str, text: bytes) -> None:
        super().__init__(kind)
        self.kind = kind
        self.text = text.decode("utf-8", "replace").strip()
        found = status_code(text)
        self.code = found[0] if found else None

    @property
    def is_expunge(self) -> bool:
        """Say whether only messages that vanished meanwhile were refused (RFC 5530, and Dovecot's words)."""
        return self.kind != "BYE" and (self.code == "EXPUNGEISSUED" or "no longer exist" in self.text)

    @property
    def is_cut_short(self) -> bool:
        """Say whether the server stopped at its limit of messages a command (RFC 9738)."""
        return self.code == "MESSAGELIMIT"


@contextmanager
def declinable() -> Iterator[None]:
    """Do without what a server offers and then refuses; its farewell is no refusal and goes on."""
    try:
        yield
    except ServerRefused as refused:
        if refused.kind == "BYE":
            raise


_BY_CODE: dict[str, ErrorCategory] = {
    "AUTHENTICATIONFAILED": _C.AUTH,
    "EXPIRED": _C.AUTH,
    "WEBALERT": _C.AUTH,
    "PRIVACYREQUIRED": _C.AUTH,
    "AUTHORIZATIONFAILED": _C.PERMISSION,
    "NOPERM": _C.PERMISSION,
    "LIMIT": _C.RATE_LIMIT,
    "OVERQUOTA": _C.RATE_LIMIT,
    "THROTTLED": _C.RATE_LIMIT,
    "MESSAGELIMIT": _C.RATE_LIMIT,
    "UNAVAILABLE": _C.TEMPORARY,
    "SERVERBUG": _C.TEMPORARY,
    "INUSE": _C.TEMPORARY,
    "CONTACTADMIN": _C.TEMPORARY,
    "NONEXISTENT": _C.NOT_FOUND,
    "TRYCREATE": _C.NOT_FOUND,
    "EXPUNGEISSUED": _C.DATA_CONFLICT,
    "CLIENTBUG": _C.PROCESSING_ERROR,
    "CORRUPTION": _C.PROCESSING_ERROR,
    "PARSE": _C.PROCESSING_ERROR,
}
# Codes that only decorate: the text below them decides. UNAVAILABLE is Gmail's for a used-up bandwidth.
_VAGUE_CODES = frozenset({None, "ALERT", "UNAVAILABLE", "CONTACTADMIN"})

_TEXTS: dict[ErrorCategory, str] = {
    _C.RATE_LIMIT: (
        r"throttl|backoff time|too many (\w+ )?connections|maximum number of connections"
        r"|bandwidth limit|rate limit|too many (login|failed|bad|invalid)"
    ),
    _C.TEMPORARY: (
        r"authenticated but not connected|session expired|invalid state|server (is )?(too )?busy"
        r"|internal (server )?error|try again|temporar|shutting down|logged out|inactivity"
    ),
    _C.PERMISSION: r"imap (access )?(is )?(disabled|not (enabled|allowed))|not enabled for imap|permission denied",
    _C.AUTH: (
        r"application-specific password|web login required|invalid (credentials|login|user)"
        r"|(authentication|login|logon|authenticate) (has )?(failed|failure|error|denied)|password"
    ),
    _C.NOT_FOUND: r"unknown mailbox|(mailbox|folder) (does not|doesn't) exist|no such (mailbox|folder)",
    _C.DATA_CONFLICT: r"no longer exist|invalid messageset",
}
_BY_TEXT = tuple((category, re.compile(pattern, re.IGNORECASE)) for category, pattern in _TEXTS.items())
_WAIT = re.compile(
    r"(?:backoff time|retry[- ]after|try again in|wait|retry in)[:\s]*(?:about |for )?(\d{1,9}(?:\.\d+)?)"
    r"\s*(milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|h)?\b",
    re.IGNORECASE,
)
_UNITS = {"milli": 0.001, "ms": 0.001, "m": 60.0, "h": 3600.0}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_TEXT_LIMIT = 300

_DOING: dict[Stage, str] = {
    Stage.CONNECT: "the mail server could not be reached",
    Stage.LOGIN: "the mail server did not accept the login",
    Stage.LIST: "the mail server did not list the folders",
    Stage.SELECT: "the mail server did not open the folder",
    Stage.FETCH: "the mail server did not deliver the messages",
    Stage.LISTEN: "the mail server tells no news",
}


@contextmanager
def translated(stage: Stage, secrets: tuple[str, ...] = ()) -> Iterator[None]:
    """Turn whatever goes wrong inside into a ProviderError; `secrets` are cut out of every text."""
    try:
        yield
    except ServerRefused as exc:
        raise _refusal(exc, stage, secrets) from None
    except ReplyError as exc:
        raise _provider_error(stage, _C.PROCESSING_ERROR, str(exc), "PROTOCOL") from None
    except EOFError as exc:
        raise _provider_error(stage, _C.NETWORK, str(exc), "EOF") from None
    except OSError as exc:
        text, code = _reason(exc)
        raise _provider_error(stage, categorize_exception(exc), text, code) from None
    except (ValueError, LookupError) as exc:  # what imaplib raises on replies it did not expect
        raise _provider_error(stage, _C.PROCESSING_ERROR, "a reply that is not IMAP", type(exc).__name__) from None


def _reason(exc: OSError) -> tuple[str, str]:
    """Say what the operating system or OpenSSL says, and its code for it."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        hint = "its certificate is not trusted; for a private authority add ?ca=PATH to the address"
        return f"{exc.verify_message}: {hint}", "CERTIFICATE_VERIFY_FAILED"
    if isinstance(exc, ssl.SSLError):
        return exc.strerror or "TLS failed", exc.reason or "SSLError"
    code = errno.errorcode.get(exc.errno or 0, type(exc).__name__)
    return ("no answer in time" if isinstance(exc, TimeoutError) else exc.strerror or code), code


def retry_after(text: str) -> float | None:
    """Read the server's wish to be left alone, in seconds: `Suggested Backoff Time: 92415 milliseconds`."""
    match = _WAIT.search(text)
    if match is None:
        return None
    unit = (match[2] or "s").lower()
    factor = next((f for prefix, f in _UNITS.items() if unit.startswith(prefix)), 1.0)
    return float(match[1]) * factor


def _refusal(exc: ServerRefused, stage: Stage, secrets: tuple[str, ...]) -> ProviderError:
    category = _category(exc, stage)
    text = f"{exc.kind} {redacted(exc.text, secrets)}"
    hint = retry_after(exc.text) if category in {_C.RATE_LIMIT, _C.TEMPORARY} else None
    return _provider_error(stage, category, text, exc.code or exc.kind, hint)


def _category(exc: ServerRefused, stage: Stage) -> ErrorCategory:
    if exc.code in _BY_CODE and exc.code not in _VAGUE_CODES:
        return _BY_CODE[exc.code]
    for category, pattern in _BY_TEXT:
        if pattern.search(exc.text):
            return category
    if exc.code in _BY_CODE:
        return _BY_CODE[exc.code]
    if exc.kind == "BYE":
        return _C.TEMPORARY
    if stage is Stage.LOGIN and exc.kind == "NO":
        return _C.AUTH  # RFC 3501: NO to LOGIN means that user name or password were rejected
    return match_text(exc.text) or (_C.PROCESSING_ERROR if exc.kind == "BAD" else _C.UNKNOWN)


def _provider_error(
    stage: Stage,
    category: ErrorCategory,
    text: str,
    code: str | None,
    hint: float | None = None,
) -> ProviderError:
    at_the_door = stage in {Stage.CONNECT, Stage.LOGIN}
    if at_the_door or category in {_C.RATE_LIMIT, _C.AUTH}:
        scope = ErrorScope.ACCOUNT
    else:
        scope = ErrorScope.FOLDER if stage is Stage.SELECT else ErrorScope.CHUNK
    shown = _CONTROL.sub(" ", text)[:_TEXT_LIMIT]
    text = f"{_DOING[stage]}: {shown}"
    return ProviderError(text, category, scope=scope, code=code, retry_after=hint, at_the_door=at_the_door)


def redacted(text: str, secrets: tuple[str, ...]) -> str:
    """Cut passwords out of a text that a server wrote: some repeat the command that they refuse."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
