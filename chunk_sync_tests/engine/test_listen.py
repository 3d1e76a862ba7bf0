"""Listening mailboxes: when a sync is asked for and when not, and that nothing depends on it."""

from __future__ import annotations

import itertools
import queue
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import pytest

from chunk_sync.engine import listen
from chunk_sync.engine.connect import source_opener
from chunk_sync.engine.listen import Listening, listener_maker, wait_before
from chunk_sync.engine.run_chunks import Parts
from chunk_sync.engine.verify import verify_mailbox
from chunk_sync.errors import DatabaseUnavailable, ErrorCategory, ProviderError, UsageError
from chunk_sync.mail.imap_listen import Manner
from chunk_sync.settings import Settings
from chunk_sync.store import control, plans
from chunk_sync.store.database import Database
from chunk_sync.store.hints import HintOutcome, hint_change
from chunk_sync.store.mailboxes import Mailbox, add_mailbox, request_sync
from chunk_sync_tests.engine.world import World
from chunk_sync_tests.factory import make_mailbox, open_worker
from chunk_sync_tests.fake_source import START
from chunk_sync_tests.servers.dovecot import DovecotServer
from chunk_sync_tests.servers.process import wait_until
from chunk_sync_tests.syncing import plan, run_due

SEEN = "\\Seen"
NEWS = None
AUTH = ProviderError("the login was refused", ErrorCategory.AUTH)
CUT = ProviderError("the line was cut", ErrorCategory.NETWORK)


def hint(world: World) -> HintOutcome:
    """Something happened in the mailbox."""
    return hint_change(world.database, world.box, hinted_by="test")


def waiting(database: Database) -> list[dict[str, object]]:
    """List the jobs that wait for a plan."""
    return database.execute("SELECT id, sync_type, requested_by FROM sync_jobs WHERE status = 'requested' ORDER BY id")


def test_a_hint_asks_for_one_incremental_sync(world: World) -> None:
    """As long as that waits, further hints add nothing: its plan will see what they are about."""
    world.sync()
    outcome = hint(world)
    assert [HintOutcome(None)] * 3 == [hint(world) for _ in range(3)]
    expected = {"id": outcome.job_id, "sync_type": "incremental", "requested_by": "test"}
    assert [expected] == waiting(world.database)


def test_a_hint_after_the_plan_has_begun_asks_again(world: World) -> None:
    """That plan may have looked before the change."""
    world.sync()
    first = hint(world).job_id
    assert first is not None
    assert plans.claim_plan(world.database, first, open_worker(world.database)) is not None
    second = hint(world).job_id
    assert second is not None
    assert [second] == [job["id"] for job in waiting(world.database)]


def test_hints_at_once_ask_for_one_sync(world: World) -> None:
    """Two listeners, or many, on one mailbox."""
    world.sync()
    together = threading.Barrier(8)

    def one(_: int) -> HintOutcome:
        together.wait(60)
        return hint(world)

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(one, range(8)))
    assert (1, 1) == (len({o.job_id for o in outcomes if o.job_id}), len(waiting(world.database)))


def test_a_first_sync_is_not_begun_by_a_hint(world: World) -> None:
    """Nobody has asked for the mailbox yet, or what they asked for was cancelled, or was a part of it only."""
    assert HintOutcome(None, is_wanted=False) == hint(world)
    world.request(sync_from=START)
    job = world.request()
    target = control.find_target(world.database, job_id=job, mailbox=None)
    control.cancel(world.database, target, control.Decision(reason="test", actor="test"))
    assert HintOutcome(None, is_wanted=False) == hint(world)


def test_a_hint_during_the_first_sync(world: World) -> None:
    """While that waits there is nothing to ask for; once it has looked, another is to follow it."""
    job = world.request()
    assert HintOutcome(None) == hint(world)
    world.plan(job)
    follower = hint(world).job_id
    assert follower is not None
    assert world.plan(follower) is None
    world.run()
    assert world.plan(follower) is not None


def test_a_dead_letter_does_not_end_the_hints(world: World) -> None:
    """A first sync that ended with a failed chunk has begun all the same."""
    job = world.request()
    world.plan(job)
    world.database.execute("UPDATE sync_jobs SET status = 'failed', completed_at = clock() WHERE id = %s", (job,))
    assert hint(world).job_id is not None


@pytest.mark.parametrize("wish", [{"sync_from": START}, {"sync_type": "manual"}])
def test_what_waits_and_covers_less_does_not_count(world: World, wish: dict[str, object]) -> None:
    """A range of dates does not see all changes; an incremental sync does not wait for a manual one."""
    world.sync()
    world.request(**wish)
    assert hint(world).job_id is not None


def test_a_hint_about_a_removed_mailbox(world: World) -> None:
    """It is said so."""
    world.database.execute("DELETE FROM mailboxes WHERE id = %s", (world.box.id,))
    with pytest.raises(UsageError, match="mailbox 'box' was removed"):
        hint(world)


def state(world: World) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """What the mailbox has, and what landed of it: flags by UID."""
    rows = world.database.execute("SELECT uid, flags FROM message_locations WHERE vanished_at IS NULL")
    there = {uid: list(world.mail.flags.get(uid, ())) for uid in world.mail.folders["INBOX"]}
    return there, {row["uid"]: row["flags"] for row in rows}


@pytest.mark.parametrize("heard", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_b47_dropped_and_made_up_notifications_do_no_harm(world: World, heard: float, seed: int) -> None:
    """Whichever part of them gets through, and whatever was never true: the next sync makes both sides equal."""
    draw = random.Random(seed)
    world.mail.modseq = seed  # with a server that counts its changes, and with one that does not
    world.sync()
    for _ in range(30):
        uids = sorted(world.mail.folders["INBOX"])
        happen: Callable[[], object] = draw.choice(
            [
                lambda: world.mail.deliver(draw.randint(1, 3)),
                lambda uids=uids: world.mail.flag(draw.choice(uids), SEEN),
                lambda uids=uids: world.mail.expunge(draw.choice(uids)),
                lambda: None,
            ]
        )
        happen()
        outcome = hint(world) if draw.random() < heard else None
        if outcome and outcome.job_id and draw.random() < 0.5:
            world.plan(outcome.job_id)
            world.run()
    for job in waiting(world.database):
        world.plan(int(str(job["id"])))
        world.run()
    world.sync()
    there, landed = state(world)
    assert there == landed


def test_b3_a_sync_asked_for_by_nobody_but_the_queue_lands(world: World) -> None:
    """Without any listener the same requests are planned and run."""
    world.sync()
    new = world.mail.deliver(5)
    world.sync()
    assert set(new) <= set(state(world)[1])


class FakeListener:
    """Hears what a test says; `said` takes NEWS, or what is to be raised.

    `waited` are the seconds of those waits in which nothing was said: the only ones that take time for `clock`.
    """

    def __init__(self) -> None:
        self.said: queue.Queue[Exception | None] = queue.Queue()
        self.waited: list[float] = []
        self.longest = 0.0
        self.opened = 0
        self.on_open: Callable[[], None] = lambda: None

    def open(self) -> Manner:
        """Begin."""
        self.opened += 1
        self.on_open()
        return Manner.IDLE

    def wait(self, seconds: float) -> bool:
        """Hear the next thing that was said."""
        self.longest = max(self.longest, seconds)
        try:
            said = self.said.get(timeout=min(seconds, 0.01))
        except queue.Empty:
            self.waited.append(seconds)
            return False
        if said is not NEWS:
            raise said
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...


class Lines:
    """What was reported."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def __call__(self, line: str) -> None:
        """Take a line."""
        self.all.append(line)

    def with_(self, text: str) -> list[str]:
        """The lines that hold a text."""
        return [line for line in self.all if text in line]

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait until so many lines hold a text; fails when they do not come."""
        assert wait_until(lambda: len(self.with_(text)) >= count), self.all


@contextmanager
def listening(
    world: World, ears: FakeListener | dict[str, FakeListener], every: float = 0.0, *, may_hang: bool = False
) -> Iterator[tuple[Listening, Lines]]:
    """Listen to the world's mailbox, or to some by name; no thread is left, unless one may hang."""
    lines = Lines()
    named = ears if isinstance(ears, dict) else {world.box.name: ears}
    boxes = [world.box if name == world.box.name else make_mailbox(world.database, name) for name in named]
    with Listening(world.database, boxes, lambda box: named[box.name], every=every, report=lines) as made:  # type: ignore[arg-type, return-value]
        yield made, lines
    assert may_hang or wait_until(lambda: not made.is_alive)


def take(world: World) -> None:
    """Plan and run all that waits."""
    for job in waiting(world.database):
        world.plan(int(str(job["id"])))
        world.run()


def test_connecting_is_a_hint_and_so_is_what_is_heard(world: World) -> None:
    """What happened before nobody heard; then each piece of news asks for a sync that finds it."""
    world.sync()
    new = world.mail.deliver(1)
    ear = FakeListener()
    with listening(world, ear) as (_, lines):
        lines.wait_for("asked for sync job")
        take(world)
        assert set(new) <= set(state(world)[1])
        newer = world.mail.deliver(1)
        ear.said.put(NEWS)
        lines.wait_for("asked for sync job", 2)
        take(world)
        assert set(newer) <= set(state(world)[1])
    assert ["box: listening by IDLE"] == lines.with_("listening")


def test_a_cut_is_mended_and_counts_as_a_hint(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happened while nobody listened is found after the next connection."""
    monkeypatch.setattr(listen, "_FIRST_WAIT", 0.01)
    world.sync()
    ear = FakeListener()
    with listening(world, ear) as (_, lines):
        lines.wait_for("asked for sync job")
        take(world)
        new = world.mail.deliver(1)
        ear.said.put(CUT)
        lines.wait_for("asked for sync job", 2)
        take(world)
    assert set(new) <= set(state(world)[1])
    assert [True] == ["the line was cut; connecting again in 0.0 s" in line for line in lines.with_("cut")]


def test_hints_of_a_mailbox_keep_their_distance_and_the_last_is_not_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A storm of news asks once at its beginning, and then at most every so often."""
    world.sync()
    ear = FakeListener()
    hinted_at: list[float] = []

    def now() -> float:
        return sum(ear.waited)

    def note(database: Database, mailbox: Mailbox, *, hinted_by: str) -> HintOutcome:
        hinted_at.append(now())
        return hint_change(database, mailbox, hinted_by=hinted_by)

    monkeypatch.setattr(listen, "time", SimpleNamespace(monotonic=now))
    monkeypatch.setattr(listen, "hint_change", note)
    with listening(world, ear, every=0.4) as (_, lines):
        lines.wait_for("asked")
        for count in range(2, 5):
            world.database.execute("UPDATE sync_jobs SET status = 'completed' WHERE status = 'requested'")
            for _ in range(200):
                ear.said.put(NEWS)
            lines.wait_for("asked", count)
    assert 4 == len(lines.with_("asked"))
    assert all(later - earlier > 0.399 for earlier, later in itertools.pairwise(hinted_at))


def test_a_refused_login_ends_its_mailbox_and_no_other(world: World) -> None:
    """One line for the one; the others are listened to."""
    world.sync()
    good, bad = FakeListener(), FakeListener()
    bad.said.put(AUTH)
    with listening(world, {"box": good, "other": bad}) as (made, lines):
        lines.wait_for("the login was refused")
        good.said.put(NEWS)
        lines.wait_for("asked for sync job")
        assert made.is_alive
    assert ["other: the login was refused; it is not listened to any more"] == lines.with_("refused")
    assert (1, 1) == (good.opened, bad.opened)


def test_when_all_are_refused_it_is_over(world: World) -> None:
    """Nothing is left to wait for."""
    ear = FakeListener()
    ear.said.put(AUTH)
    with listening(world, ear) as (made, _):
        assert wait_until(lambda: not made.is_alive)


def test_a_password_that_cannot_be_had_is_a_refused_login(world: World, tmp_path: Path) -> None:
    """The variable is not set: one line that names it."""
    box = add_mailbox(
        world.database, name="ann", address="imap://ann@127.0.0.1:1/", provider="imap", credential="env:NOT_SET"
    )
    lines = Lines()
    make = listener_maker(Settings.read({"CHUNK_SYNC_HOME": str(tmp_path)}), renew=540, poll=60)
    with Listening(world.database, [box], make, every=1, report=lines):
        lines.wait_for("ann: the environment variable NOT_SET")


def test_an_unsynced_mailbox_is_told_about_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what to do; nothing is asked for."""
    outcomes: list[HintOutcome] = []

    def note(database: Database, mailbox: Mailbox, *, hinted_by: str) -> HintOutcome:
        outcomes.append(hint_change(database, mailbox, hinted_by=hinted_by))
        return outcomes[-1]

    monkeypatch.setattr(listen, "hint_change", note)
    ear = FakeListener()
    with listening(world, ear) as (_, lines):
        lines.wait_for("./chunk-sync sync box")
        for count in range(2, 5):
            ear.said.put(NEWS)
            assert wait_until(lambda count=count: len(outcomes) == count)
    assert (1, []) == (len(lines.with_("not been synced yet")), waiting(world.database))


def test_a_database_that_is_away_is_asked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint is kept, and said again when it can be."""
    world.sync()
    answers = iter([DatabaseUnavailable("no server there")])

    def away_once(database: Database, mailbox: Mailbox, *, hinted_by: str) -> HintOutcome:
        for error in answers:
            raise error
        return hint_change(database, mailbox, hinted_by=hinted_by)

    monkeypatch.setattr(listen, "hint_change", away_once)
    with listening(world, FakeListener(), every=0.1) as (_, lines):
        lines.wait_for("no sync could be asked for: no server there")
        lines.wait_for("asked for sync job")
    assert ["listen"] == [job["requested_by"] for job in waiting(world.database)]


def test_it_stops_within_a_second(world: World) -> None:
    """Also while one waits for news, one for a server's first word, and one to connect again."""
    stuck, calm, cut = FakeListener(), FakeListener(), FakeListener()
    reached, release = threading.Event(), threading.Event()

    def hang() -> None:
        reached.set()
        release.wait(60)

    stuck.on_open = hang
    cut.said.put(ProviderError("later", ErrorCategory.RATE_LIMIT, retry_after=600))
    with listening(world, {"box": calm, "stuck": stuck, "cut": cut}, may_hang=True) as (made, lines):
        assert reached.wait(60)
        assert wait_until(lambda: bool(calm.waited))
        lines.wait_for("cut: later; connecting again in 600.0 s")
    # The one that nothing can end is not waited for; the others find out within a second that it is over.
    assert made.is_alive
    assert wait_until(lambda: ["listen-stuck"] == [one.name for one in made._threads if one.is_alive()])
    assert calm.longest < listen._STOP_SECONDS < 1
    release.set()
    assert wait_until(lambda: not made.is_alive)


def test_waits_grow_are_spread_and_never_undercut_the_server() -> None:
    """Full jitter: anything up to 2, 4, 8 … 300 seconds; the server's wish is a floor, above the cap too."""
    assert [2, 4, 8, 256, 300, 300] == [wait_before(n, None, 1) for n in (0, 1, 2, 7, 8, 100_000)]
    assert [0, 1, 2] == [wait_before(0, None, draw) for draw in (0, 0.5, 1)]
    assert [90, 600] == [wait_before(0, wish, 0.5) for wish in (90, 600)]


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Parts:
    """The engine with real sources."""
    settings = Settings.read({"CHUNK_SYNC_HOME": str(tmp_path), "CHUNK_SYNC_SOURCE_TIMEOUT_SECONDS": "60"})
    return Parts(database, settings, source_opener(settings))


def work_off(parts: Parts) -> None:
    """Plan and run all that waits, as `up` does."""
    for job in waiting(parts.database):
        plan(parts, int(str(job["id"])))
        run_due(parts, f"run-{job['id']}")


def test_mail_of_a_real_server_lands_as_it_arrives(dovecot_server: DovecotServer, parts: Parts, tmp_path: Path) -> None:
    """New mail is heard; a server that was away is found again, with the mail that came meanwhile."""
    raw = b"Subject: %d\r\n\r\nx\r\n"
    dovecot_server.add_messages("INBOX", [raw % 1])
    (tmp_path / "password").write_text(dovecot_server.password)
    credential = f"file:{tmp_path / 'password'}"
    box = add_mailbox(
        parts.database, name="box", address=dovecot_server.address, provider="imap", credential=credential
    )
    request_sync(parts.database, "box")
    work_off(parts)
    lines = Lines()
    make = listener_maker(parts.settings, renew=540, poll=60)
    with Listening(parts.database, [box], make, every=0.1, report=lines):
        lines.wait_for("asked for sync job")
        work_off(parts)
        with dovecot_server.client() as other:
            other.append("INBOX", raw % 2, datetime.now(UTC))
        lines.wait_for("asked for sync job", 2)
        work_off(parts)
        asked = len(lines.with_("asked for sync job"))
        assert 2 == parts.database.execute("SELECT count(*) AS n FROM messages")[0]["n"]
        dovecot_server.kill()
        lines.wait_for("connecting again")
        dovecot_server.add_messages("INBOX", [raw % 3])
        dovecot_server.start()
        lines.wait_for("listening by IDLE", 2)
        lines.wait_for("asked for sync job", asked + 1)
        work_off(parts)
    assert all(
        v.ok and 3 == v.in_source
        for v in verify_mailbox(parts.database, parts.settings, parts.open_mailbox, box)
        if v.path == "INBOX"
    )
