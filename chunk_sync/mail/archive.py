"""What Maildir and mbox have in common: names that survive the database, and disk errors translated."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote_to_bytes

from chunk_sync.errors import ErrorCategory, ErrorScope, ProviderError

_ESCAPED = re.compile("[%\x00\udc80-\udcff]")


@contextmanager
def disk_errors(what: str, scope: ErrorScope) -> Iterator[None]:
    """Turn OSErrors into ProviderErrors about `what`; `scope` is how much of the mailbox is concerned."""
    try:
        yield
    except OSError as exc:
        if isinstance(exc, FileNotFoundError | NotADirectoryError | IsADirectoryError):
            category = ErrorCategory.NOT_FOUND
        elif isinstance(exc, PermissionError):
            category = ErrorCategory.PERMISSION
        else:
            category = ErrorCategory.TEMPORARY  # EIO, ENOSPC, ESTALE, EMFILE: the machine's, and it may pass
        code = errno.errorcode.get(exc.errno or 0, type(exc).__name__)
        message = f"{what} cannot be read: {exc.strerror or code}"
        raise ProviderError(message, category, scope=scope, code=code) from None


def key_of_name(name: str) -> str:
    """Write a file name or path so that PostgreSQL takes it: bytes that are not UTF-8 as %-escapes."""
    return _ESCAPED.sub(lambda match: f"%{os.fsencode(match[0])[0]:02X}", name)


def name_of_key(key: str) -> str:
    """Read back what `key_of_name` wrote."""
    return os.fsdecode(unquote_to_bytes(key)) if "%" in key else key
