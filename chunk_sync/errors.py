"""The error tree and the ten categories: the lowest room, which imports nothing of ours.

ChunkSyncError                what we raise on purpose; its text is one clear line for a person
├── UsageError                bad input or set-up: says what to do, the command line exits with 2
│   └── DatabaseUnavailable   no server behind the DSN, or one that we cannot use
├── SchemaError               the database's schema and this code do not fit
├── ProviderError             a mail source failed: category, scope, retry_after, code
└── LeaseLost                 the chunk belongs to somebody else now: stop, write nothing
"""

from __future__ import annotations

from enum import StrEnum


class ErrorCategory(StrEnum):
    """Why an attempt failed: a closed set, each with its own backoff (the table `retry_policies`)."""

    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"
    NETWORK = "network"
    TEMPORARY = "temporary"
    AUTH = "auth"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    DATA_CONFLICT = "data_conflict"
    PROCESSING_ERROR = "processing_error"
    UNKNOWN = "unknown"


class ErrorScope(StrEnum):
    """How much a failure concerns: this chunk, its folder, or the whole account (login, throttling)."""

    CHUNK = "chunk"
    FOLDER = "folder"
    ACCOUNT = "account"


class ChunkSyncError(Exception):
    """Base of all errors that we raise on purpose."""


class UsageError(ChunkSyncError):
    """Bad input or set-up. The text is one line and says what to do."""


class DatabaseUnavailable(UsageError):
    """No PostgreSQL behind the DSN, or one that cannot be used (too old, login refused)."""


class SchemaError(ChunkSyncError):
    """The schema in the database does not fit this code (a changed migration, a newer schema)."""


class LeaseLost(ChunkSyncError):
    """The lease on a chunk is no longer ours; whatever was about to be written must be dropped."""


class ProviderError(ChunkSyncError):
    """A mail source failed, already translated by its connector.

    `code` is the provider's own code ("AUTHENTICATIONFAILED", "ENOTFOUND"), for display only;
    `retry_after` is in seconds, a floor of the delay, None when the provider gave no hint. `at_the_door`: the provider
    has let nobody in yet, so that no work was done.
    """

    def __init__(
        self,
        message: str,
        category: ErrorCategory,
        *,
        scope: ErrorScope = ErrorScope.CHUNK,
        code: str | None = None,
        retry_after: float | None = None,
        at_the_door: bool = False,
    ) -> None:
        super().__init__(message)
        self.category = category
        self.scope = scope
        self.code = code
        self.retry_after = retry_after
        self.at_the_door = at_the_door
