"""Dovecot 2.3 as Debian packages it, below a temporary directory and as an ordinary user.

Run by root, everything belongs to and runs as `nobody`; run by anybody else, as that user. Messages are
put straight into the Maildirs, and the oracle `snapshot` hashes their files: it does not pass through IMAP.
"""

from __future__ import annotations

import base64
import contextlib
import grp
import hmac
import json
import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from urllib.parse import quote

from chunk_sync.demo.mailbox import INBOX, GeneratedMessage
from chunk_sync.demo.maildir import deliver, folder_directory
from chunk_sync_tests.servers.certificates import make_certificates
from chunk_sync_tests.servers.client import decode_folder
from chunk_sync_tests.servers.process import HOST, ImapServer, ServerDidNotStart, digest, free_ports

_BINARY = shutil.which("dovecot") or "/usr/sbin/dovecot"
_UNPRIVILEGED = "nobody"
_PORT_ATTEMPTS = 3
_BARE_LF = re.compile(rb"(?<!\r)\n")

_CONFIGURATION = """\
base_dir = {path}/run
state_dir = {path}/run
log_path = {path}/dovecot.log
protocols = imap
listen = {host}
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 1
first_valid_gid = 1
mail_location = {storage}:{path}/mail/%u
mail_fsync = never
mail_max_userip_connections = {max_connections}
mailbox_list_index = no
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2 oauthbearer
auth_failure_delay = 0
imap_max_line_length = 1M
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {path}/oauth2.conf.ext
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {path}/users
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={path}/mail/%u
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Sent {{
    special_use = \\Sent
  }}
  mailbox Junk {{
    special_use = \\Junk
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  chroot =
  service_count = 0
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 256
}}
protocol imap {{
  mail_plugins = $mail_plugins imap_zlib
}}
"""
_OAUTH2 = """\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={path}/keys/
username_attribute = sub
"""
_TOKEN_KEY = b"a key of a hundred locks, for tests only"


class DovecotServer(ImapServer):
    """A Dovecot with plain and TLS ports; `ca_path` is what a client must trust.

    `max_connections` is Dovecot's limit for each user and address.
    """

    storage = "maildir"

    @staticmethod
    def as_served(raw: bytes) -> bytes:
        """Tell the bytes that are handed out for a message that was put in."""
        return as_served(raw)

    def __init__(self, users: Mapping[str, str] | None = None, *, max_connections: int = 64) -> None:
        super().__init__(users)
        self.tls_port = 0
        self.max_connections = max_connections
        certificates = make_certificates(self.path)
        self.ca_path = certificates.ca
        self._certificates = certificates
        account = pwd.getpwnam(_UNPRIVILEGED) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self._uid, self._gid, self._account = account.pw_uid, account.pw_gid, account.pw_name

    @property
    def tls_address(self) -> str:
        """The mailbox of the first user, by TLS, as chunk_sync spells it."""
        return f"imaps://{quote(self.user)}@{self.host}:{self.tls_port}/"

    def access_token(self, seconds: float = 3600) -> str:
        """Sign an access token of the first user, a JWT that lasts so long."""
        claims = {"sub": self.user, "iat": int(time.time()) - 10, "exp": int(time.time() + seconds)}
        signed = ".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return f"{signed}.{_base64(hmac.digest(_TOKEN_KEY, signed.encode(), 'sha256'))}"

    def start(self) -> None:
        """Start the server and wait until it answers; raises ServerDidNotStart."""
        if not usable():
            message = f"Dovecot 2.3 is needed (apt install dovecot-imapd), found {installed_version() or 'none'}"
            raise ServerDidNotStart(message)
        first_start = not self.port
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            if first_start:
                self.port, self.tls_port = free_ports(2)
            try:
                self._start_once()
            except ServerDidNotStart as error:  # somebody else may have taken a port in between
                if not first_start or attempt == _PORT_ATTEMPTS or "Address already in use" not in str(error):
                    raise
            else:
                return

    def add_messages(
        self, folder: str, messages: Iterable[bytes | GeneratedMessage], *, user: str | None = None
    ) -> None:
        """Put messages into a folder, which is made when it is not there; any time will do."""
        deliver(self.maildir(user), self._dated(folder, messages))
        self._own(self.maildir(user))

    def maildir(self, user: str | None = None) -> Path:
        """Tell where a user's mail lies."""
        return self.path / "mail" / (user or self.user)

    def snapshot(self, *, user: str | None = None) -> dict[str, list[str]]:
        """List each folder's messages as sorted sha256 of the bytes as served, read from the files."""
        root = self.maildir(user)
        found = {INBOX: _hash_folder(root)}
        for folder in root.glob(".*/"):
            if (folder / "cur").is_dir():
                found[decode_folder(folder.name[1:].replace(".", "/"))] = _hash_folder(folder)
        return found

    def reset_uidvalidity(self, folder: str, *, user: str | None = None) -> None:
        """Begin a new epoch of a folder: another UIDVALIDITY, the same messages, UIDs dealt anew."""
        before = self.uidvalidity(folder, user=user)
        directory = self.maildir(user) / folder_directory(folder)
        for path in (directory / "dovecot-uidlist", *directory.glob("dovecot.index*")):
            path.unlink(missing_ok=True)
        assert self.uidvalidity(folder, user=user) != before

    def _start_once(self) -> None:
        self._write_configuration()
        as_root = os.geteuid() == 0
        with (self.path / "startup.log").open("wb") as log:
            self._process = subprocess.Popen(
                [_BINARY, "-F", "-c", str(self.path / "dovecot.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.path,
                start_new_session=True,
                user=self._uid if as_root else None,
                group=self._gid if as_root else None,
                extra_groups=[] if as_root else None,
            )
        self._group = self._process.pid
        self._wait_for_greeting()

    def _write_configuration(self) -> None:
        for user in self.users:
            self.maildir(user).mkdir(parents=True, exist_ok=True)
        (self.path / "users").write_text("".join(f"{name}:{word}\n" for name, word in self.users.items()))
        (self.path / "dovecot.log").unlink(missing_ok=True)
        (self.path / "oauth2.conf.ext").write_text(_OAUTH2.format(path=self.path))
        key = self.path / "keys" / "default" / "HS256" / "default"
        key.parent.mkdir(parents=True, exist_ok=True)
        key.write_bytes(base64.b64encode(_TOKEN_KEY))
        (self.path / "dovecot.conf").write_text(
            _CONFIGURATION.format(
                path=self.path,
                storage=self.storage,
                host=HOST,
                user=self._account,
                group=grp.getgrgid(self._gid).gr_name,
                max_connections=self.max_connections,
                certificate=self._certificates.certificate,
                key=self._certificates.key,
                port=self.port,
                tls_port=self.tls_port,
            )
        )
        self._own(self.path)

    def _own(self, path: Path) -> None:
        """Hand what root wrote over to the user that Dovecot runs as."""
        if os.geteuid() != 0:
            return
        for one in (path, *path.rglob("*")):
            with contextlib.suppress(FileNotFoundError):  # a running Dovecot renames as it likes
                if one.lstat().st_uid != self._uid:
                    os.chown(one, self._uid, self._gid)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class DovecotTlsServer(DovecotServer):
    """A Dovecot whose addresses lead to its encrypted port."""

    def address_of(self, user: str) -> str:
        """Spell a user's mailbox as chunk_sync does, with the authority to trust."""
        return f"imaps://{quote(user)}@{self.host}:{self.tls_port}/?ca={self.ca_path}"


class DovecotMdboxServer(DovecotServer):
    """A Dovecot that keeps its mail in files of its own kind: filled, and looked into, by IMAP only."""

    storage = "mdbox"
    cannot_hold = frozenset({"empty"})  # an empty APPEND is refused, as the RFC says

    def add_messages(
        self, folder: str, messages: Iterable[bytes | GeneratedMessage], *, user: str | None = None
    ) -> None:
        """Put messages into a folder, which is made when it is not there."""
        self._append(folder, messages, user)

    def snapshot(self, *, user: str | None = None) -> dict[str, list[str]]:
        """List each folder's messages as sorted sha256 of the bytes as served."""
        return ImapServer.snapshot(self, user=user)

    def reset_uidvalidity(self, folder: str, *, user: str | None = None) -> None:
        """Begin a new epoch of a folder: another UIDVALIDITY, the same messages, UIDs dealt anew."""
        self._renumber(folder, user)


def as_served(raw: bytes) -> bytes:
    """Tell the bytes that Dovecot hands out for a file: lines end in CRLF, and NUL becomes 0x80."""
    return _BARE_LF.sub(b"\r\n", raw).replace(b"\0", b"\x80")


@cache
def installed_version() -> str:
    """Read the version of the Dovecot on this machine; "" when there is none."""
    try:
        answer = subprocess.run([_BINARY, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return answer.stdout.split()[0]


def usable() -> bool:
    """Tell whether this machine has a Dovecot that understands the configuration above (2.4 does not)."""
    return installed_version().startswith("2.3.")


def _hash_folder(folder: Path) -> list[str]:
    files = [path for part in ("cur", "new") for path in (folder / part).glob("*")]
    return sorted(digest(as_served(path.read_bytes())) for path in files)
