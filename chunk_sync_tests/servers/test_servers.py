"""The mail servers of the tests hold what they promise, so that a red test accuses the product."""

from __future__ import annotations

import imaplib
import re
import ssl
from collections.abc import Callable, Iterable
from itertools import islice

import pytest

from chunk_sync.demo.mailbox import GeneratedMessage, iter_messages
from chunk_sync.demo.poison import poison_messages
from chunk_sync_tests.servers.client import CommandFailed
from chunk_sync_tests.servers.dovecot import DovecotServer
from chunk_sync_tests.servers.process import ImapServer, digest, wait_until
from chunk_sync_tests.servers.pymap import PymapServer

_LETTER = b"From: a@example.com\r\nSubject: letter %d\r\n\r\nhello\r\n"


def _letters(count: int) -> list[bytes]:
    return [_LETTER % number for number in range(count)]


def _expected(server: ImapServer, messages: Iterable[GeneratedMessage]) -> dict[str, list[str]]:
    """Hash what a server should serve."""
    folders: dict[str, list[str]] = {"INBOX": []}
    for message in messages:
        folders.setdefault(message.folder, []).append(digest(server.as_served(message.raw)))
    return {folder: sorted(digests) for folder, digests in folders.items()}


def _fetched(connection: imaplib.IMAP4) -> list[str]:
    """Fetch INBOX with the standard library's client."""
    connection.select("INBOX", readonly=True)
    replies: list[bytes | tuple[bytes, bytes]] = connection.uid("FETCH", "1:*", "(UID BODY.PEEK[])")[1]
    return sorted(digest(reply[1]) for reply in replies if isinstance(reply, tuple))


def test_a_generated_mailbox_is_served_whole(imap_server: ImapServer) -> None:
    """Every folder, the one with a Cyrillic name too, holds exactly the bytes that were put there."""
    messages = list(iter_messages(150, seed=3))
    imap_server.add_mailbox(messages)
    assert _expected(imap_server, messages) == imap_server.snapshot()


def test_the_oracle_agrees_with_imaplib(imap_server: ImapServer) -> None:
    """Two clients that share no code, or a client and the files, see the same."""
    imap_server.add_messages("INBOX", islice(iter_messages(seed=4), 60))
    with imaplib.IMAP4(imap_server.host, imap_server.port) as connection:
        connection.login(imap_server.user, imap_server.password)
        assert imap_server.snapshot()["INBOX"] == _fetched(connection)


def test_poison_is_served(imap_server: ImapServer) -> None:
    """The adversarial set is served as it is, but for what a server cannot hold."""
    messages = [raw for name, raw in poison_messages() if name not in imap_server.cannot_hold]
    imap_server.add_messages("Poison", messages)
    assert sorted(digest(imap_server.as_served(raw)) for raw in messages) == sorted(
        imap_server.by_uid("Poison").values()
    )


def test_date_and_flags_arrive(imap_server: ImapServer) -> None:
    """A message keeps the moment of its delivery and its flags."""
    message = next(message for message in iter_messages(200) if len(message.flags) > 1)
    imap_server.add_messages("INBOX", [message])
    with imap_server.client() as client:
        client.select("INBOX")
        text = client.command(b"FETCH 1 (FLAGS INTERNALDATE)")[0].text.decode()
    assert f"{message.received_at:%d-%b-%Y %H:%M:%S} +0000" in text
    flags = re.search(r"FLAGS \(([^)]*)\)", text)
    assert flags
    assert set(message.flags) == set(flags[1].split()) - {"\\Recent"}


def test_messages_arrive_while_a_client_is_connected(imap_server: ImapServer) -> None:
    """What is added after the first look is seen by the next one, above all UIDs so far."""
    imap_server.add_messages("INBOX", _letters(3))
    before = imap_server.by_uid("INBOX")
    imap_server.add_messages("INBOX", [b"Subject: late\r\n\r\nx\r\n"])
    after = imap_server.by_uid("INBOX")
    assert before == {uid: name for uid, name in after.items() if uid in before}
    assert [max(before) + 1] == [uid for uid in after if uid not in before]


def test_expunged_messages_are_gone(imap_server: ImapServer) -> None:
    """Exactly the named UIDs vanish; the others keep theirs."""
    imap_server.add_messages("INBOX", _letters(5))
    before = imap_server.by_uid("INBOX")
    gone = sorted(before)[1:3]
    imap_server.expunge("INBOX", gone)
    assert {uid: name for uid, name in before.items() if uid not in gone} == imap_server.by_uid("INBOX")


@pytest.mark.parametrize("folder", ["INBOX", "Archive/2024", "Вхідні"])
def test_a_new_epoch_deals_uids_anew(imap_server: ImapServer, folder: str) -> None:
    """After a reset the messages are the same, and a UID of old means another message."""
    imap_server.add_messages(folder, _letters(4))
    imap_server.expunge(folder, [min(imap_server.by_uid(folder))])
    epoch, before = imap_server.uidvalidity(folder), imap_server.by_uid(folder)
    imap_server.reset_uidvalidity(folder)
    after = imap_server.by_uid(folder)
    assert epoch != imap_server.uidvalidity(folder)
    assert sorted(before.values()) == sorted(after.values())
    assert not before.items() & after.items()


def test_a_wrong_password_is_refused(imap_server: ImapServer) -> None:
    """Nobody gets in without the password."""
    imap_server.users[imap_server.user] = "wrong"
    with pytest.raises(CommandFailed, match="AUTHENTICATIONFAILED"):
        imap_server.client()


@pytest.mark.parametrize(
    "kind",
    [
        PymapServer,
        pytest.param(DovecotServer, marks=pytest.mark.needs("dovecot")),
    ],
)
def test_users_have_mailboxes_of_their_own(kind: type[ImapServer]) -> None:
    """What one user gets, another does not see."""
    with kind({"anna": "one", "marko": "two"}) as server:
        server.add_messages("INBOX", _letters(2), user="marko")
        assert [] == server.snapshot(user="anna")["INBOX"]
        assert 2 == len(server.snapshot(user="marko")["INBOX"])
        assert f"imap://marko@127.0.0.1:{server.port}/" == server.address_of("marko")


@pytest.mark.parametrize("end", [ImapServer.stop, ImapServer.kill], ids=["stop", "kill"])
def test_no_process_is_left(imap_server: ImapServer, end: Callable[[ImapServer], None]) -> None:
    """Stopped or killed in the middle of a session, nothing of the server lives on."""
    with imap_server.client():
        assert imap_server.processes()
        end(imap_server)
        assert [] == imap_server.processes()
    with pytest.raises(ConnectionRefusedError):
        imap_server.client()


def test_dovecot_keeps_its_mail_over_a_crash(dovecot_server: DovecotServer) -> None:
    """Killed and started again, it serves the same UIDs on the same ports."""
    dovecot_server.add_messages("INBOX", _letters(3))
    ports, before = (dovecot_server.port, dovecot_server.tls_port), dovecot_server.by_uid("INBOX")
    dovecot_server.kill()
    dovecot_server.start()
    assert ports == (dovecot_server.port, dovecot_server.tls_port)
    assert before == dovecot_server.by_uid("INBOX")


def test_pymap_starts_again_on_its_port(pymap_server: PymapServer) -> None:
    """Its mail is in memory: the same address, and an empty mailbox."""
    pymap_server.add_messages("INBOX", _letters(1))
    address = pymap_server.address
    pymap_server.kill()
    pymap_server.start()
    assert address == pymap_server.address
    assert {"INBOX": []} == pymap_server.snapshot()


def test_pymap_ends_with_the_tests(pymap_server: PymapServer) -> None:
    """When the test process dies, its pipe closes, and the server goes too."""
    pymap_server.hang_up()
    assert wait_until(lambda: not pymap_server.processes())


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_dovecot_tls_is_verified(dovecot_server: DovecotServer, name: str) -> None:
    """A client that trusts `ca_path` accepts the certificate, by the strict rules of Python 3.13 too."""
    trust = ssl.create_default_context(cafile=str(dovecot_server.ca_path))
    trust.verify_flags |= ssl.VERIFY_X509_STRICT
    dovecot_server.add_messages("INBOX", _letters(2))
    with imaplib.IMAP4_SSL(name, dovecot_server.tls_port, ssl_context=trust) as connection:
        connection.login(dovecot_server.user, dovecot_server.password)
        assert dovecot_server.snapshot()["INBOX"] == _fetched(connection)
    assert f"imaps://olena@127.0.0.1:{dovecot_server.tls_port}/" == dovecot_server.tls_address


def test_dovecot_is_not_trusted_by_default(dovecot_server: DovecotServer) -> None:
    """Without `ca_path` the certificate is refused: the tests notice a client that does not verify."""
    with pytest.raises(ssl.SSLCertVerificationError):
        imaplib.IMAP4_SSL("localhost", dovecot_server.tls_port, ssl_context=ssl.create_default_context())


@pytest.mark.needs("dovecot")
def test_dovecot_limits_connections() -> None:
    """The limit for a user and address is Dovecot's own."""
    refused = pytest.raises(CommandFailed, match="mail_max_userip_connections=2")
    with DovecotServer(max_connections=2) as server, server.client(), server.client(), refused:
        server.client()
