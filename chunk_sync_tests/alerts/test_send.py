"""Sending to real receivers: what arrives, and what is said of what does not."""

from __future__ import annotations

import pytest

from chunk_sync.alerts.message import Message
from chunk_sync.alerts.send import hide, ping, send, understands
from chunk_sync_tests.alerts.receivers import PATIENT, hanging_port, http_sink, smtp_sink

MESSAGE = Message("chunk_sync warn: dead_letters", "3 chunks.\nDo something: ünïcode.", "warning")


def test_a_webhook_gets_it() -> None:
    """Title, text and kind, as apprise's JSON has them."""
    with http_sink() as sink:
        assert None is send(sink.url, MESSAGE)
    ((method, path, posted),) = sink.requests
    assert ("POST", "/token-77") == (method, path.rstrip("/"))
    assert (MESSAGE.title, MESSAGE.body, "warning") == (posted["title"], posted["message"], posted["type"])


def test_a_mailbox_gets_it() -> None:
    """Subject and text, to whom the URL says."""
    with smtp_sink() as sink:
        assert None is send(sink.url, MESSAGE)
    (mail,) = sink.mail
    assert (MESSAGE.title, "ops@ours.example") == (mail["subject"], mail["to"].addresses[0].addr_spec)
    body = mail.get_body(("plain", "html"))
    assert body is not None
    assert "ünïcode" in body.get_content()


def test_a_refusal_is_said_without_secrets() -> None:
    """The receiver's answer, and nothing of the URL."""
    with http_sink() as sink:
        sink.answers = [503]
        said = send(sink.url, MESSAGE)
    assert said is not None
    assert "503" in said
    assert [] == [secret for secret in ("geheim", "token-77", "ann") if secret in said]


def test_nobody_is_there() -> None:
    """A closed port is a connection error."""
    said = send("json://ann:geheim-99@127.0.0.1:1/token-77", MESSAGE)
    assert said is not None
    assert "onnection" in said
    assert [] == [secret for secret in ("geheim", "127.0.0.1") if secret in said]


@pytest.mark.parametrize("kind", ["json://127.0.0.1:{}?", "mailto://127.0.0.1:{}?from=a@b.example&to=c@d.example&"])
def test_a_receiver_that_hangs_is_left(kind: str) -> None:
    """Whatever it does, it has so many seconds."""
    with hanging_port() as port:
        assert "no answer within 0.3 s" == send(kind.format(port) + PATIENT, MESSAGE, seconds=0.3)


@pytest.mark.parametrize("url", ["", "nonsense", "foo://bar", "slack://short"])
def test_what_apprise_does_not_know(url: str) -> None:
    """It is said, without repeating what may be a secret."""
    assert not understands(url)
    said = send(url, MESSAGE)
    assert said is not None
    assert "apprise does not know this URL" in said


def test_what_apprise_knows() -> None:
    """Nothing is sent to find out."""
    with http_sink() as sink:
        assert understands(sink.url)
    assert [] == sink.requests


def test_secrets_are_hidden_in_every_spelling() -> None:
    """Encoded and decoded, in the host, the path and the query."""
    url = "slack://T1JJ3T3L2/A1BRTD4JD/p%40ss?user=bob%20x"
    told = hide("no T1JJ3T3L2, no A1BRTD4JD, no p%40ss or p@ss, no 'bob x' at slack", url)
    assert "no ***, no ***, no *** or ***, no '***' at slack" == told


def test_a_ping_is_a_get() -> None:
    """A watcher outside hears of each good look."""
    with http_sink() as sink:
        assert None is ping(f"http://127.0.0.1:{sink.port}/uuid-1")
        sink.answers = [404]
        assert "the watcher answered 404" == ping(f"http://127.0.0.1:{sink.port}/uuid-1")
    assert [("GET", "/uuid-1")] * 2 == [(method, path) for method, path, _ in sink.requests]


def test_a_watcher_that_is_not_there_breaks_nothing() -> None:
    """Nor does one that hangs, or an address that is none; the address stays secret."""
    said = ping("http://127.0.0.1:1/uuid-1")
    assert said is not None
    assert "the watcher does not answer" in said
    assert "uuid-1" not in said
    with hanging_port() as port:
        assert ping(f"http://127.0.0.1:{port}/", seconds=0.2)
    assert "CHUNK_SYNC_PING_URL is no http or https URL" == ping("file:///etc/passwd")
    assert ping("http://[nonsense")
