"""Every text, status and exception gets exactly one category, and the right one (known faults B16, B19)."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunk_sync.domain.categorize import categorize_exception, categorize_status, categorize_text
from chunk_sync.errors import ErrorCategory, ProviderError

C = ErrorCategory

GOLDEN = [
    ("Request timeout", C.TIMEOUT),
    ("Rate limit exceeded - too many requests", C.RATE_LIMIT),
    ("HTTP 429 Too Many Requests", C.RATE_LIMIT),
    ("Network connection failed", C.NETWORK),
    ("DNS resolution error", C.NETWORK),
    ("Service temporarily unavailable", C.TEMPORARY),
    ("HTTP 503 Service Unavailable", C.TEMPORARY),
    ("Authentication token expired", C.AUTH),
    ("HTTP 401 Unauthorized", C.AUTH),
    ("Permission denied", C.PERMISSION),
    ("Resource not found", C.NOT_FOUND),
    ("Duplicate entry conflict", C.DATA_CONFLICT),
    ("Some unknown processing error", C.PROCESSING_ERROR),
]

FORMER_MISTAKES = [
    ("HTTP 403 Forbidden", C.PERMISSION),
    ("HTTP/1.1 403 Forbidden", C.PERMISSION),
    ("Author field missing", C.PROCESSING_ERROR),
    ("authored by nobody", C.PROCESSING_ERROR),
    ("Invalid skiptoken", C.PROCESSING_ERROR),
    ("skip token has expired", C.PROCESSING_ERROR),
    ("Unexpected token < in JSON at position 0", C.PROCESSING_ERROR),
    ("message AAMkAD429x could not be parsed", C.PROCESSING_ERROR),
    ("message 429 could not be parsed", C.PROCESSING_ERROR),
    ("id 12-429-7 is odd", C.PROCESSING_ERROR),
    ("stored 404 messages, one is broken", C.PROCESSING_ERROR),
    ("kindness", C.PROCESSING_ERROR),
    ("accessories are incomplete", C.PROCESSING_ERROR),
    ("read ECONNRESET", C.NETWORK),
    ("getaddrinfo ENOTFOUND imap.example.com", C.NETWORK),
    ("Connection reset", C.NETWORK),
    ("ApplicationThrottled", C.RATE_LIMIT),
    ("Application is over its MailboxConcurrency limit.", C.RATE_LIMIT),
    ("invalid_grant", C.AUTH),
    ("ErrorItemNotFound", C.NOT_FOUND),
    ("HTTP 500", C.TEMPORARY),
    ("Request failed with status code 502", C.TEMPORARY),
    ("deadlock detected", C.TEMPORARY),
    ("upstream answered 504", C.TIMEOUT),
    ("status=429", C.RATE_LIMIT),
    ("it failed (404)", C.NOT_FOUND),
    ("429", C.RATE_LIMIT),
    ("Connection timed out", C.TIMEOUT),
    ("GatewayTimeout", C.TIMEOUT),
]


@pytest.mark.parametrize(("text", "expected"), GOLDEN)
def test_the_seeds_texts_keep_their_categories(text: str, expected: ErrorCategory) -> None:
    """The 13 golden vectors of the seeds come out as they always did."""
    assert expected == categorize_text(text)


@pytest.mark.parametrize(("text", "expected"), FORMER_MISTAKES)
def test_b19_texts_are_not_misread(text: str, expected: ErrorCategory) -> None:
    """What the original read by substring is read by word, status or provider code."""
    assert expected == categorize_text(text)


@pytest.mark.parametrize("blank", [None, "", "  \t\n"])
def test_no_text_is_unknown(blank: str | None) -> None:
    """Nothing said means unknown."""
    assert categorize_text(blank) is C.UNKNOWN


@given(st.text())
def test_every_text_has_a_category(text: str) -> None:
    """The text fallback is total; blank, and only blank, is unknown."""
    assert (not text.strip()) == (categorize_text(text) is C.UNKNOWN)


@given(st.text())
def test_case_does_not_matter(text: str) -> None:
    """Upper and lower case say the same."""
    assert categorize_text("RATE LIMIT " + text) == categorize_text("rate limit " + text)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, None, C.PROCESSING_ERROR),
        (400, "failedPrecondition", C.TEMPORARY),
        (401, None, C.AUTH),
        (401, "ErrorAccessDenied", C.AUTH),
        (403, None, C.PERMISSION),
        (403, "ApplicationThrottled", C.RATE_LIMIT),
        (403, "userRateLimitExceeded", C.RATE_LIMIT),
        (404, None, C.NOT_FOUND),
        (404, "MailboxNotEnabledForRESTAPI", C.PERMISSION),
        (408, None, C.TIMEOUT),
        (409, None, C.DATA_CONFLICT),
        (410, None, C.DATA_CONFLICT),
        (412, "ErrorIrresolvableConflict", C.DATA_CONFLICT),
        (413, None, C.PROCESSING_ERROR),
        (429, None, C.RATE_LIMIT),
        (500, None, C.TEMPORARY),
        (503, None, C.TEMPORARY),
        (503, "ErrorServerBusy", C.RATE_LIMIT),
        (504, "whatever", C.TIMEOUT),
        (507, None, C.RATE_LIMIT),
        (599, None, C.TEMPORARY),
        (None, "invalid_grant", C.AUTH),
        (None, "ErrorItemNotFound", C.NOT_FOUND),
        (None, None, C.UNKNOWN),
    ],
)
def test_b16_a_status_decides_before_any_text(status: int | None, code: str | None, expected: ErrorCategory) -> None:
    """A status and a provider code survive to the category."""
    assert expected == categorize_status(status, code)


@given(st.none() | st.integers(-1000, 2000), st.none() | st.text())
def test_every_status_has_a_category(status: int | None, code: str | None) -> None:
    """Statuses that nobody defined have a category too."""
    assert categorize_status(status, code) in set(C)


class _DatabaseError(Exception):
    """What a driver's exception looks like from here."""

    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("the Author's token for permission 429 is a duplicate")
        self.sqlstate = sqlstate


class OperationalError(_DatabaseError):
    """A driver's name for a lost connection."""


class _Wrapped(Exception):
    """What an ORM makes of a driver's exception."""

    def __init__(self, orig: Exception) -> None:
        super().__init__("statement failed")
        self.orig = orig


class _HttpError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__("it did not work")
        self.status_code = status


class _Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def _caused(by: BaseException) -> BaseException:
    error = Exception("a wrapper with a text about a network")
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ProviderError("Author 429", C.NOT_FOUND), C.NOT_FOUND),
        (TimeoutError("x"), C.TIMEOUT),
        (ConnectionResetError(errno.ECONNRESET, "x"), C.NETWORK),
        (BrokenPipeError(), C.NETWORK),
        (socket.gaierror(-3, "Temporary failure in name resolution"), C.NETWORK),
        (ssl.SSLError(1, "wrong version number"), C.NETWORK),
        (ssl.SSLSyscallError(5, "EOF"), C.NETWORK),
        (OSError(errno.EHOSTUNREACH, "x"), C.NETWORK),
        (OSError(errno.ENOSPC, "x"), C.TEMPORARY),
        (OSError(errno.EIO, "x"), C.TEMPORARY),
        (PermissionError(errno.EACCES, "x"), C.PERMISSION),
        (FileNotFoundError(errno.ENOENT, "x"), C.NOT_FOUND),
        (MemoryError(), C.PROCESSING_ERROR),
        (RecursionError(), C.PROCESSING_ERROR),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), C.PROCESSING_ERROR),
        (KeyError("token"), C.PROCESSING_ERROR),
        (ValueError("connection timeout"), C.PROCESSING_ERROR),
        (_DatabaseError("40001"), C.TEMPORARY),
        (_DatabaseError("40P01"), C.TEMPORARY),
        (_DatabaseError("08006"), C.TEMPORARY),
        (_DatabaseError("57P01"), C.TEMPORARY),
        (_DatabaseError("57014"), C.TIMEOUT),
        (_DatabaseError("23505"), C.DATA_CONFLICT),
        (_DatabaseError("22021"), C.PROCESSING_ERROR),
        (_Wrapped(_DatabaseError("40P01")), C.TEMPORARY),
        (OperationalError(None), C.TEMPORARY),
        (_HttpError(403), C.PERMISSION),
        (_HttpError(503), C.TEMPORARY),
        (_caused(ProviderError("x", C.RATE_LIMIT)), C.RATE_LIMIT),
        (Exception("Rate limit exceeded"), C.RATE_LIMIT),
        (Exception(b"[UNAVAILABLE] later"), C.TEMPORARY),
        (Exception(), C.UNKNOWN),
        (_Unprintable("network down"), C.NETWORK),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_b16_an_exception_is_read_by_its_structure(error: BaseException, expected: ErrorCategory) -> None:
    """Type, SQLSTATE, status and cause decide; the text only where there is nothing else."""
    assert expected == categorize_exception(error)


def test_a_circle_of_causes_ends() -> None:
    """Exceptions that cause each other are categorized all the same."""
    first, second = Exception("one"), Exception("two")
    first.__cause__, second.__cause__ = second, first
    assert categorize_exception(first) is C.PROCESSING_ERROR
