"""Passwords: where they are kept, and how one is had when a source is opened.

A mailbox row holds a reference, never a password in clear: `env:NAME`, `file:PATH`, or `sealed:TOKEN`, which is
encrypted with a key that lies outside the database (CHUNK_SYNC_SECRET_KEY, else `secret.key` in the home).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from chunk_sync.errors import ErrorCategory, ErrorScope, ProviderError, UsageError
from chunk_sync.settings import Settings, variable

KEY_FILE = "secret.key"
NO_PASSWORD = "NO_PASSWORD"  # noqa: S105 - the name of a failure
"""The code of a failure to get a password, as against one that a server refused."""


def seal(password: str, settings: Settings) -> str:
    """Encrypt a password for the database; makes the key file on first use."""
    return "sealed:" + _cipher(settings, create=True).encrypt(password.encode()).decode()


def reveal(reference: str | None, settings: Settings) -> str | None:
    """Get the password behind a reference; None when the mailbox needs none.

    Raises ProviderError(auth, account) when it cannot be had: the same as a wrong password, and retried alike.
    """
    if reference is None:
        return None
    kind, _, value = reference.partition(":")
    if kind == "env":
        if password := variable(value):
            return password
        raise _auth(f"the environment variable {value}, which holds the password, is not set for this process")
    if kind == "file":
        try:
            return Path(value).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise _auth(f"the password file {value} cannot be read: {reason}") from error
    try:
        return _cipher(settings, create=False).decrypt(value.encode()).decode()
    except (InvalidToken, UsageError) as error:
        place = settings.home / KEY_FILE
        raise _auth(
            f"the sealed password cannot be opened: {place} (or CHUNK_SYNC_SECRET_KEY) is not its key"
        ) from error


def _auth(message: str) -> ProviderError:
    return ProviderError(message, ErrorCategory.AUTH, scope=ErrorScope.ACCOUNT, code=NO_PASSWORD)


def _cipher(settings: Settings, *, create: bool) -> Fernet:
    key = settings.secret_key.encode() if settings.secret_key else _key_file(settings.home / KEY_FILE, create=create)
    try:
        return Fernet(key)
    except ValueError as error:
        message = "CHUNK_SYNC_SECRET_KEY (or secret.key) is not a Fernet key (32 random bytes in URL-safe base64)"
        raise UsageError(message) from error


def _key_file(path: Path, *, create: bool) -> bytes:
    if create and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # O_EXCL: of two that start at once, one makes the key and both use it.
        with contextlib.suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(Fernet.generate_key())
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"the key {path} cannot be read: {error.strerror}"
        raise UsageError(message) from error
