"""Mailbox addresses: where a mailbox is, as one line of text that never holds a secret.

| address | what it names |
|---|---|
| imaps://user@host[:port]/ | an IMAP account over TLS (port 993) |
| imap://user@host[:port]/ | the same with STARTTLS (port 143); unencrypted on the loopback interface only |
| maildir:PATH | a Maildir, or a folder of Maildirs |
| mbox:PATH | an mbox file, or a folder of *.mbox files |

User names may hold `@` and %-escapes. IMAP addresses take options, `?ca=PATH&auth=xoauth2`:

| option | meaning |
|---|---|
| ca=PATH | a PEM file of certificate authorities to trust instead of the system's |
| auth=xoauth2, auth=oauthbearer | what the credential gives is an OAuth 2.0 access token and no password |
| compress=yes, compress=no | COMPRESS=DEFLATE wherever offered, or never; without it: unless the server is local |

Parsing never looks at the disk, so that a worker can read the address of an archive that has gone away;
`check_address` does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, unquote_to_bytes

from chunk_sync.errors import UsageError
from chunk_sync.mail.maildir import is_maildir_tree
from chunk_sync.mail.mbox_index import looks_like_mbox

AUTH_OPTIONS = ("xoauth2", "oauthbearer")
DEFAULT_PORTS = {"imaps": 993, "imap": 143}
_PATH_SCHEMES = ("maildir", "mbox")
_EXAMPLES = "imaps://user@host/, imap://user@host/, maildir:PATH or mbox:PATH"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_OPTIONS = re.compile(r"\?(?=(?:ca|auth|compress)=)")  # no other question mark: a password may hold one
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class MailboxAddress:
    """A parsed mailbox address: `host`, `port` and `user` for IMAP, `path` (absolute) for archives."""

    scheme: str
    host: str | None = None
    port: int | None = None
    user: str | None = None
    path: str | None = None
    ca_file: str | None = None
    auth: str | None = None
    compress: bool | None = None

    @property
    def is_imap(self) -> bool:
        """Say whether a password and a network are needed."""
        return self.scheme in DEFAULT_PORTS

    def __str__(self) -> str:
        """Write the canonical form: `parse_address` of it gives an equal address."""
        if not self.is_imap:
            return f"{self.scheme}:{self.path}"
        host = f"[{self.host}]" if self.host and ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        compress = None if self.compress is None else "yes" if self.compress else "no"
        options = (("ca", self.ca_file), ("auth", self.auth), ("compress", compress))
        query = "&".join(f"{name}={quote(value)}" for name, value in options if value)
        return f"{self.scheme}://{quote(self.user or '', safe='')}@{host}{port}/{'?' if query else ''}{query}"


def parse_address(text: str) -> MailboxAddress:
    """Parse a mailbox address; raises UsageError, which never repeats what might be a password."""
    match = _SCHEME.fullmatch(text.strip())
    scheme = match[1].lower() if match else ""
    if match is None or scheme not in (*DEFAULT_PORTS, *_PATH_SCHEMES):
        message = f"a mailbox address looks like {_EXAMPLES}"
        raise UsageError(message)
    if _CONTROL.search(text.strip()):
        message = "the mailbox address holds a control character: type it again"
        raise UsageError(message)
    return _parse_path(scheme, match[2]) if scheme in _PATH_SCHEMES else _parse_imap(scheme, match[2])


def check_address(address: MailboxAddress) -> None:
    """Look whether the files that an address names are there and are what it says; raises UsageError."""
    if address.ca_file is not None and not Path(address.ca_file).is_file():
        message = f"?ca={address.ca_file}: there is no such file; name a PEM file with the certificate to trust"
        raise UsageError(message)
    if address.path is None:
        return
    path = Path(address.path)
    try:
        fits = is_maildir_tree(path) if address.scheme == "maildir" else looks_like_mbox(path)
    except FileNotFoundError:
        message = f"{address}: there is nothing at this path"
    except NotADirectoryError:
        message = f"{address}: this is a file, and a Maildir is a folder; for an mbox file say mbox:{path}"
    except OSError as exc:
        message = f"{address}: cannot be read ({exc.strerror or type(exc).__name__})"
    else:
        if fits:
            return
        message = (
            f"{address}: this is no Maildir (neither it nor a folder in it has cur and new)"
            if address.scheme == "maildir"
            else f"{address}: this is no mbox (a file that begins with 'From ', or a folder with *.mbox files)"
        )
    raise UsageError(message) from None


def _parse_path(scheme: str, rest: str) -> MailboxAddress:
    if not rest.strip():
        message = f"{scheme}: needs a path, as in {scheme}:/home/ann/mail"
        raise UsageError(message)
    try:
        path = Path(rest).expanduser()
    except RuntimeError:
        message = f"{scheme}:{rest}: there is no such home directory; write the path out"
        raise UsageError(message) from None
    return MailboxAddress(scheme, path=str(path.absolute()))


def _parse_imap(scheme: str, rest: str) -> MailboxAddress:
    if not rest.startswith("//"):
        message = f"an IMAP address begins with {scheme}://, as in {scheme}://user@host/"
        raise UsageError(message)
    location, _, query = _OPTIONS.sub("\n", rest[2:], count=1).partition("\n")
    user_part, at, host_part = location.rpartition("@")
    # Before anything else, and for the whole left side: a password may hold any character.
    if ":" in user_part:
        message = (
            "do not write the password into the address, where others can see it: leave it out and "
            "answer the prompt, or use --password-env or --password-file"
        )
        raise UsageError(message)
    authority, _, tail = host_part.partition("/")
    host, port = _parse_host(scheme, authority)
    if not at or not user_part:
        message = f"the address names no user: write {scheme}://user@host/"
        raise UsageError(message)
    if tail:
        message = "nothing but options (?ca=PATH) may follow the host: an address names a whole mailbox, not a folder"
        raise UsageError(message)
    options = _parse_options(query)
    return MailboxAddress(
        scheme,
        host,
        port,
        _unescape(user_part),
        ca_file=_parse_ca(options["ca"]) if "ca" in options else None,
        auth=_one_of(options, "auth", AUTH_OPTIONS),
        compress={"yes": True, "no": False}.get(_one_of(options, "compress", ("yes", "no")) or ""),
    )


def _parse_options(query: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in query.split("&")] if query else []
    options = {name: value for name, _, value in pairs}
    if len(options) < len(pairs) or not options.keys() <= {"ca", "auth", "compress"}:
        message = "after the ? of an address stand ca=PATH, auth=xoauth2 or compress=no, each once and with & between"
        raise UsageError(message)
    return options


def _one_of(options: Mapping[str, str], name: str, values: tuple[str, ...]) -> str | None:
    if name not in options:
        return None
    value = options[name].lower()
    if value not in values:
        message = f"the address's option {name} is {' or '.join(values)}"
        raise UsageError(message)
    return value


def _parse_host(scheme: str, authority: str) -> tuple[str, int]:
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", authority)
    host, port = (bracketed[1], bracketed[2]) if bracketed else _split_port(authority)
    if not host:
        message = f"the address names no host: write {scheme}://user@host/"
        raise UsageError(message)
    try:
        host = host.rstrip(".").encode("idna").decode("ascii").lower() if ":" not in host else host.lower()
    except UnicodeError:
        host = ""
    if not _HOST.fullmatch(host) or (":" in host) != bool(bracketed):
        message = "the address's host is not a host name: write it like imap.example.com or [2001:db8::1]"
        raise UsageError(message)
    if port is None:
        return host, DEFAULT_PORTS[scheme]
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _MAX_PORT):
        message = f"the address's port is not a number from 1 to {_MAX_PORT}"
        raise UsageError(message)
    return host, int(port)


def _split_port(authority: str) -> tuple[str, str | None]:
    host, colon, port = authority.partition(":")
    return host, port if colon else None


def _unescape(user: str) -> str:
    try:
        name = unquote_to_bytes(user).decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    if not name or _CONTROL.search(name):
        message = "the address's user name is not text: escape special characters as UTF-8, like %C3%BC"
        raise UsageError(message)
    return name


def _parse_ca(value: str) -> str:
    path = unquote(value, errors="replace")
    if not path or "\ufffd" in path:
        message = "the address's option ca=PATH names a PEM file with the certificate to trust"
        raise UsageError(message)
    return str(Path(path).expanduser().absolute())
