"""What IMAP servers say gets the right category, scope and hint, and no text holds a password (known fault B16)."""

from __future__ import annotations

import base64
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunk_sync.domain.spans import Span, UidSet
from chunk_sync.errors import ErrorCategory, ErrorScope, ProviderError
from chunk_sync.mail.imap_errors import ServerRefused, Stage, retry_after, translated
from chunk_sync.mail.imap_wire import Endpoint
from chunk_sync_tests.mail.scripted_imap import HANG_UP, Lie, ScriptedImap, once, reply
from chunk_sync_tests.servers.process import HOST

C = ErrorCategory
ACCOUNT, FOLDER, CHUNK = ErrorScope.ACCOUNT, ErrorScope.FOLDER, ErrorScope.CHUNK
MESSAGES = {1: b"Subject: x\r\n\r\nbody\r\n"}

LOGIN_REPLIES = [
    ("NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", C.AUTH, "AUTHENTICATIONFAILED"),
    ("NO [EXPIRED] Password expired", C.AUTH, "EXPIRED"),
    ("NO [ALERT] Application-specific password required: https://x/185833 (Failure)", C.AUTH, "ALERT"),
    ("NO [WEBALERT https://accounts.example.com/x] Web login required.", C.AUTH, "WEBALERT"),
    ("NO [PRIVACYREQUIRED] Plaintext authentication disallowed", C.AUTH, "PRIVACYREQUIRED"),
    ("NO LOGIN failed.", C.AUTH, "NO"),
    ("NO sorry", C.AUTH, "NO"),
    ("NO [AUTHORIZATIONFAILED] not you", C.PERMISSION, "AUTHORIZATIONFAILED"),
    ("NO [ALERT] Your account is not enabled for IMAP use", C.PERMISSION, "ALERT"),
    ("NO IMAP access is disabled for your domain", C.PERMISSION, "NO"),
    ("NO [UNAVAILABLE] Temporary authentication failure.", C.TEMPORARY, "UNAVAILABLE"),
    ("NO [CONTACTADMIN] Account is in maintenance", C.TEMPORARY, "CONTACTADMIN"),
    ("NO User is authenticated but not connected.", C.TEMPORARY, "NO"),
    ("NO [ALERT] Too many simultaneous connections. (Failure)", C.RATE_LIMIT, "ALERT"),
    ("NO [LIMIT] Maximum number of connections from user+IP exceeded (…=10)", C.RATE_LIMIT, "LIMIT"),
    ("NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded", C.RATE_LIMIT, "UNAVAILABLE"),
    ("BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds", C.RATE_LIMIT, "BAD"),
    ("BAD what?", C.PROCESSING_ERROR, "BAD"),
]

SELECT_REPLIES = [
    ("NO [NONEXISTENT] Unknown Mailbox: INBOX (Failure)", C.NOT_FOUND, FOLDER),
    ("NO Mailbox doesn't exist: Work", C.NOT_FOUND, FOLDER),
    ("NO [NOPERM] Permission denied", C.PERMISSION, FOLDER),
    ("NO [INUSE] Mailbox is locked", C.TEMPORARY, FOLDER),
    ("NO [SERVERBUG] Internal error occurred.", C.TEMPORARY, FOLDER),
    ("NO [LIMIT] too much", C.RATE_LIMIT, ACCOUNT),
    ("NO hmm", C.UNKNOWN, FOLDER),
]

FETCH_REPLIES = [
    ("NO [UNAVAILABLE] UID FETCH Server error while fetching messages", C.TEMPORARY, CHUNK, None),
    ("NO [SERVERBUG] Internal error occurred. Refer to server log", C.TEMPORARY, CHUNK, None),
    ("NO [LIMIT] FETCH Rate limit hit.", C.RATE_LIMIT, ACCOUNT, None),
    ("NO [OVERQUOTA] Account exceeded command or bandwidth limits.", C.RATE_LIMIT, ACCOUNT, None),
    ("BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds", C.RATE_LIMIT, ACCOUNT, 92.415),
    ("BAD Command received in Invalid state.", C.TEMPORARY, CHUNK, None),
    ("BAD Invalid messageset", C.DATA_CONFLICT, CHUNK, None),
    ("NO [CORRUPTION] index is broken", C.PROCESSING_ERROR, CHUNK, None),
    ("NO no idea", C.UNKNOWN, CHUNK, None),
]

FAREWELLS = [
    ("* BYE Too many connections from your IP. Try again later.", C.RATE_LIMIT, ACCOUNT),
    ("* BYE [UNAVAILABLE] Account exceeded command or bandwidth limits.", C.RATE_LIMIT, ACCOUNT),
    ("* BYE Session expired, please login again.", C.TEMPORARY, CHUNK),
    ("* BYE Disconnected for inactivity.", C.TEMPORARY, CHUNK),
    ("* BYE", C.TEMPORARY, CHUNK),
]


def _error(lies: dict[str, Lie], **options: object) -> ProviderError:
    with ScriptedImap(MESSAGES, lies) as server, server.source(**options) as source:  # type: ignore[arg-type]
        with pytest.raises(ProviderError) as caught:
            list(source.fetch(Span("INBOX", 7, UidSet.of([1]))))
        return caught.value


@pytest.mark.parametrize(("text", "category", "code"), LOGIN_REPLIES)
def test_b16_refused_logins(text: str, category: ErrorCategory, code: str) -> None:
    """Response code first, then the text; all of it concerns the account."""
    error = _error({"LOGIN": reply(text)})
    assert (category, ACCOUNT, code) == (error.category, error.scope, error.code)


@pytest.mark.parametrize(("text", "category", "scope"), SELECT_REPLIES)
def test_b16_refused_folders(text: str, category: ErrorCategory, scope: ErrorScope) -> None:
    """A folder that cannot be opened concerns the folder, unless the account is throttled."""
    error = _error({"EXAMINE": reply(text)})
    assert (category, scope) == (error.category, error.scope)


@pytest.mark.parametrize("kind", ["SIZES", "BODIES"])
@pytest.mark.parametrize(("text", "category", "scope", "hint"), FETCH_REPLIES)
def test_b16_refused_fetches(
    kind: str, text: str, category: ErrorCategory, scope: ErrorScope, hint: float | None
) -> None:
    """A refused fetch concerns the chunk, and throttling the account, with the server's hint."""
    error = _error({kind: reply(text)})
    assert (category, scope, hint) == (error.category, error.scope, error.retry_after)


@pytest.mark.parametrize("kind", ["greeting", "CAPABILITY", "LOGIN", "EXAMINE", "SIZES", "BODIES"])
@pytest.mark.parametrize(("text", "category", "scope"), FAREWELLS)
def test_b16_farewells(kind: str, text: str, category: ErrorCategory, scope: ErrorScope) -> None:
    """BYE is understood wherever it comes; before the folder is open it concerns the account."""
    error = _error({kind: lambda _tag, _truth: [text.encode() + b"\r\n", HANG_UP]})
    assert category == error.category
    expected = {"EXAMINE": FOLDER, "SIZES": scope, "BODIES": scope}.get(kind, ACCOUNT)
    assert (ACCOUNT if category is C.RATE_LIMIT else expected) == error.scope


def test_nobody_listens() -> None:
    """A closed port and a name that does not exist are troubles of the network with the account."""
    with ScriptedImap() as server:
        pass
    for endpoint in (None, Endpoint("no-such-host.invalid", 993, tls=True)):
        source = server.source(endpoint=endpoint)
        with pytest.raises(ProviderError) as caught:
            source.folders()
        assert (C.NETWORK, ACCOUNT) == (caught.value.category, caught.value.scope)


def test_a_web_server_is_no_mail_server() -> None:
    """Another protocol on the port is said to be that."""
    error = _error({"greeting": lambda _tag, _truth: [b"HTTP/1.1 400 Bad Request\r\n\r\n"]})
    assert (C.PROCESSING_ERROR, ACCOUNT) == (error.category, error.scope)
    assert "does not speak IMAP" in str(error)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Request is throttled. Suggested Backoff Time: 92415 milliseconds", 92.415),
        ("Retry-After: 120", 120.0),
        ("please wait 5 minutes", 300.0),
        ("try again in about 2 hours.", 7200.0),
        ("Try again in 30 s", 30.0),
        ("Try again later", None),
        ("", None),
    ],
)
def test_b45_hints_are_read_as_seconds(text: str, seconds: float | None) -> None:
    """The ways in which servers say how long to stay away."""
    assert seconds == retry_after(text)


@given(st.sampled_from(["NO", "BAD", "BYE"]), st.binary(), st.sampled_from(Stage))
def test_every_refusal_becomes_one_clear_line(kind: str, text: bytes, stage: Stage) -> None:
    """Whatever a server says ends as a ProviderError of one printable, bounded line."""
    with pytest.raises(ProviderError) as caught, translated(stage):
        raise ServerRefused(kind, text)
    message = str(caught.value)
    assert len(message) < 400
    assert not any(ord(letter) < 32 for letter in message)


SECRETS = ["sesame", 'with "quotes" and \\', "pässwörd 密", "%s{x}"]


@pytest.mark.parametrize("password", SECRETS)
def test_a_password_never_shows(password: str, caplog: pytest.LogCaptureFixture) -> None:
    """Servers that repeat the command they refuse do not bring the password into an error or a log."""
    caplog.set_level(logging.DEBUG)
    packed = base64.b64encode(f"\0ann\0{password}".encode()).decode()
    quoted = password.replace("\\", "\\\\").replace('"', '\\"')
    for spelling in (packed, quoted, password):
        echo = reply(f"NO bad command: LOGIN ann {spelling} was wrong")
        error = _error({"LOGIN": echo, "AUTHENTICATE": echo}, password=password)
        assert error.category is C.AUTH
        assert spelling not in f"{error!r} {error} {error.code} {error.__cause__} {caplog.text}"


@pytest.mark.parametrize(
    ("user", "password", "command"),
    [
        ("ann@example.com", "sesame", 'LOGIN ann@example.com "sesame"'),
        ("ann", 'a"b\\c', 'LOGIN ann "a\\"b\\\\c"'),
        ("ann", "pässwörd", "AUTHENTICATE PLAIN"),
        ("änn", "sesame", "AUTHENTICATE PLAIN"),
        ("ann smith", "sesame", "AUTHENTICATE PLAIN"),
        ("ann", "line\r\nA1 LOGOUT", "AUTHENTICATE PLAIN"),
    ],
)
def test_every_password_reaches_the_server(user: str, password: str, command: str) -> None:
    """LOGIN where it can carry user and password, else AUTHENTICATE PLAIN in UTF-8."""
    with ScriptedImap(MESSAGES) as server, server.source(password, user=user) as source:
        source.folders()
    assert command in server.commands
    if command == "AUTHENTICATE PLAIN":
        packed = server.commands[server.commands.index(command) + 1]
        assert f"\0{user}\0{password}".encode() == base64.b64decode(packed)


def test_login_disabled_means_authenticate_is_used_after_tls_only() -> None:
    """LOGINDISABLED without STARTTLS: no password is sent at all."""
    with ScriptedImap(MESSAGES, capabilities="IMAP4rev1 LOGINDISABLED") as server:
        with server.source() as source, pytest.raises(ProviderError, match="STARTTLS") as caught:
            source.folders()
        assert (C.AUTH, ACCOUNT) == (caught.value.category, caught.value.scope)
    assert ["CAPABILITY"] == server.commands


class _FarEndpoint(Endpoint):
    """A server that is not on this machine, as far as the rules are concerned."""

    @property
    def is_loopback(self) -> bool:
        return False


def test_no_password_leaves_the_machine_unencrypted() -> None:
    """Off the loopback interface, imap:// without STARTTLS is refused before the login."""
    with ScriptedImap(MESSAGES) as server:
        endpoint = _FarEndpoint(HOST, server.port, tls=False)
        with server.source(endpoint=endpoint) as source, pytest.raises(ProviderError, match="imaps://"):
            source.folders()
    assert ["CAPABILITY"] == server.commands


def test_starttls_that_fails_sends_no_password() -> None:
    """The server offers STARTTLS and then cannot: the login is not tried in plain."""
    with ScriptedImap(MESSAGES, {"STARTTLS": reply("NO later")}, capabilities="IMAP4rev1 STARTTLS") as server:
        endpoint = _FarEndpoint(HOST, server.port, tls=False)
        with server.source(endpoint=endpoint) as source, pytest.raises(ProviderError):
            source.folders()
    assert ["CAPABILITY", "STARTTLS"] == server.commands


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("x.org", False),
    ],
)
def test_loopback_is_this_machine_only(host: str, expected: bool) -> None:
    """What may stay unencrypted."""
    assert expected == Endpoint(host, 143, tls=False).is_loopback


def test_a_refused_login_is_tried_anew_on_a_new_connection() -> None:
    """After the server was busy once, the same source works."""
    lies = {"LOGIN": once(reply("NO [UNAVAILABLE] later"))}
    with ScriptedImap(MESSAGES, lies) as server, server.source() as source:
        with pytest.raises(ProviderError):
            source.folders()
        assert [folder.path for folder in source.folders()] == ["INBOX"]
        assert server.connections == 2
