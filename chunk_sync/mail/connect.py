"""From an address to a source: the one place that knows all kinds of mailboxes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from chunk_sync.errors import UsageError
from chunk_sync.mail.address import MailboxAddress
from chunk_sync.mail.imap import ImapLimits, ImapSource
from chunk_sync.mail.imap_listen import ImapListener, ListenTimes
from chunk_sync.mail.imap_session import Account
from chunk_sync.mail.imap_wire import Endpoint
from chunk_sync.mail.maildir import MaildirSource
from chunk_sync.mail.mbox import MboxSource
from chunk_sync.mail.source import Source


def open_source(
    address: MailboxAddress,
    password: str | None,
    *,
    timeout: float = 60.0,
    max_message_bytes: int = 100 << 20,
) -> Source:
    """Make the source of a mailbox; nothing is connected or read until it is used.

    `timeout` is the longest silence of a server in seconds; messages above `max_message_bytes` come
    without their bytes. Raises UsageError when an IMAP address comes without a password.
    """
    path = Path(address.path or "")
    if address.scheme == "maildir":
        return MaildirSource(path, max_message_bytes)
    if address.scheme == "mbox":
        return MboxSource(path, max_message_bytes)
    limits = ImapLimits(silence=timeout, max_message_bytes=max_message_bytes)
    return ImapSource(_endpoint(address), _account(address, password), limits)


def make_listener(
    address: MailboxAddress, password: str | None, times: ListenTimes, folders: Collection[str] | None = None
) -> ImapListener:
    """Make what listens to an IMAP mailbox, to some of its folders by path or to all; nothing is connected yet.

    Raises UsageError when there is no password.
    """
    endpoint = replace(_endpoint(address), compress=False)  # a few lines a day are not worth the memory
    return ImapListener(endpoint, _account(address, password), times, folders)


def _account(address: MailboxAddress, password: str | None) -> Account:
    if not password:
        message = f"no password for {address}: answer the prompt, or use --password-env or --password-file"
        raise UsageError(message)
    return Account(address.user or "", password, address.auth)


def _endpoint(address: MailboxAddress) -> Endpoint:
    return Endpoint(
        address.host or "",
        address.port or 0,
        tls=address.scheme == "imaps",
        ca_file=address.ca_file,
        compress=address.compress,
    )
