"""Memory is bounded by bytes in flight, not by how much mail there is or how large a chunk was planned."""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chunk_sync.engine.memory import ByteGate
from chunk_sync.settings import PROJECT_ROOT
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import add_mailbox
from chunk_sync_tests.servers.dovecot import DovecotServer

GIANT = 50 << 20
BOUND = 400 << 20


def giant(number: int) -> bytes:
    """Make a message of 50 MB whose attachment no compression makes smaller."""
    block = b"".join(bytes([(number * 31 + i * i * 7 + i // 3) % 256]) for i in range(57 * 64))
    lines = base64.encodebytes(block).replace(b"\n", b"\r\n")
    head = (
        b"From: a@example.org\r\nSubject: giant %d\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\n'
        b'Content-Type: application/octet-stream; name="x.bin"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    )
    return head % number + lines * (GIANT // len(lines)) + b"--b--\r\n"


def test_giants_among_small_mail_stay_below_the_bound(
    dovecot_server: DovecotServer, database: Database, tmp_path: Path
) -> None:
    """Six messages of 50 MB in an IMAP mailbox, two connections: the run's process never has 400 MB."""
    small = [b"From: a@example.org\r\nSubject: %d\r\n\r\n%s\r\n" % (n, b"hello " * 200) for n in range(300)]
    for number in range(6):
        dovecot_server.add_messages("INBOX", [*small[number * 50 : number * 50 + 50], giant(number)])
    secret = tmp_path / "password"
    secret.write_text(dovecot_server.password)
    add_mailbox(database, name="box", address=dovecot_server.address, provider="imap", credential=f"file:{secret}")
    child = [sys.executable, "-m", "chunk_sync_tests.engine.memory_child", database.dsn, str(tmp_path), "box"]
    done = subprocess.run(child, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert 0 == done.returncode, done.stderr
    landed = database.execute("SELECT count(*) AS n, max(size) AS largest FROM messages")[0]
    assert (306, True) == (landed["n"], landed["largest"] > GIANT * 0.9)
    assert int(done.stdout) < BOUND


def test_the_gate_lets_in_as_much_as_it_has_room_for() -> None:
    """What is inside together fits; one that is larger than the room goes alone."""
    gate = ByteGate(100)
    inside: list[int] = []
    most: list[int] = []
    lock = threading.Lock()

    def enter(weight: int) -> None:
        with gate.hold(weight):
            with lock:
                inside.append(weight)
                most.append(sum(inside))
            time.sleep(0.02)  # the others have time to come in beside it, if the gate lets them
            with lock:
                inside.remove(weight)

    with ThreadPoolExecutor(7) as pool:
        list(pool.map(enter, (40, 40, 40, 250, 60, 250, 40)))
    assert 2 == most.count(250)
    assert all(total <= 100 or total == 250 for total in most)


def test_two_that_fit_are_in_at_once() -> None:
    """Neither leaves before the other has come."""
    gate = ByteGate(100)
    both = threading.Barrier(2)

    def enter(weight: int) -> None:
        with gate.hold(weight):
            both.wait(60)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(enter, (40, 60)))
