"""Attachments as rows: each once, each with its own content id."""

from __future__ import annotations

from chunk_sync_tests.engine.world import World

PICTURES = (
    b"Message-ID: <p@example.com>\r\nSubject: pictures\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/related; boundary="b"\r\n\r\n'
    b'--b\r\nContent-Type: text/html\r\n\r\n<img src="cid:one"><img src="cid:two">\r\n'
    b"--b\r\nContent-Type: image/png\r\nContent-ID: <one>\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n"
    b"--b\r\nContent-Type: image/png\r\nContent-ID: <two>\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n"
    b"--b--\r\n"
)


def test_b27_attachments_are_there_once_and_keep_their_own_content_ids(world: World) -> None:
    """The same message in two folders, synced twice over: two rows, and equal pictures keep different ids."""
    world.mail.folders["INBOX"] = {1: PICTURES}
    world.mail.folders["Copies"] = {1: PICTURES}
    world.sync()
    world.sync(sync_type="manual")
    rows = world.database.execute("SELECT part, content_id, is_inline FROM attachments ORDER BY part")
    expected = [("2", "one", True), ("3", "two", True)]
    assert expected == [(row["part"], row["content_id"], row["is_inline"]) for row in rows]
