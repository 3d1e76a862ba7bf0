"""The server refuses, in the words of real ones: the category is right, its wishes are floors, nothing is lost."""

from __future__ import annotations

import pytest

from chunk_sync_tests.faults.world import BODIES, LIST, LISTING, LOGIN, OPEN, TOTAL, World
from chunk_sync_tests.servers.fault_script import BODY, Act, Fault, Place, answer, bye

_THROTTLED = b"BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds"
_FIRST_DELAYS = {"network": 2, "temporary": 2, "timeout": 3, "rate_limit": 5, "auth": 2, "unknown": 1}

_REFUSALS = [
    (LOGIN, b"NO [UNAVAILABLE] Temporary authentication failure.", "temporary", "UNAVAILABLE"),
    (LOGIN, b"NO User is authenticated but not connected.", "temporary", "NO"),
    (LOGIN, b"NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", "auth", "AUTHENTICATIONFAILED"),
    (LOGIN, b"NO [ALERT] Application-specific password required", "auth", "ALERT"),
    (OPEN, b"NO [INUSE] Mailbox is locked", "temporary", "INUSE"),
    (OPEN, b"NO [LIMIT] Too many open folders", "rate_limit", "LIMIT"),
    (LISTING, b"NO [UNAVAILABLE] UID FETCH Server error while fetching messages", "temporary", "UNAVAILABLE"),
    (BODIES, b"NO [UNAVAILABLE] UID FETCH Server error while fetching messages", "temporary", "UNAVAILABLE"),
    (BODIES, b"NO [SERVERBUG] Internal error occurred. Refer to server log.", "temporary", "SERVERBUG"),
    (BODIES, b"NO [INUSE] Mailbox is locked", "temporary", "INUSE"),
    (BODIES, b"BAD Command received in Invalid state.", "temporary", "BAD"),
    (BODIES, b"NO [LIMIT] FETCH Rate limit hit.", "rate_limit", "LIMIT"),
    (BODIES, b"NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", "rate_limit", "OVERQUOTA"),
    (BODIES, b"NO Something else", "unknown", "NO"),
]


@pytest.mark.parametrize(
    ("command", "text", "category", "code"),
    _REFUSALS,
    ids=[f"{command.decode()[1:6].strip('(')} {text.decode()[:22]}" for command, text, _, _ in _REFUSALS],
)
def test_b16_a_refusal_while_fetching(world: World, command: bytes, text: bytes, category: str, code: str) -> None:
    """The attempt is recorded with its category and the server's own code, and waits at least its first delay."""
    job_id = world.planned()
    world.proxy.faults = [fault] = [Fault(Place.COMMAND, answer(text), command)]
    world.check(world.settle(job_id))
    assert 1 == fault.hits
    (failure,) = world.failures()
    assert (category, code) == (failure.category, failure.code)
    assert failure.wait is not None
    assert _FIRST_DELAYS[category] <= failure.wait <= _FIRST_DELAYS[category] * 1.1


@pytest.mark.parametrize(
    ("command", "text", "category"),
    [
        (LOGIN, b"NO [UNAVAILABLE] Temporary authentication failure.", "temporary"),
        (LOGIN, b"NO [LIMIT] Maximum number of connections from user+IP exceeded", "rate_limit"),
        (LIST, b"NO [SERVERBUG] Internal error occurred.", "temporary"),
        (OPEN, b"NO [INUSE] Mailbox is locked", "temporary"),
        (LISTING, b"NO [LIMIT] FETCH Rate limit hit.", "rate_limit"),
        (LISTING, b"NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", "rate_limit"),
    ],
    ids=["login", "login limit", "list", "examine", "listing limit", "listing quota"],
)
def test_a_refusal_while_planning(world: World, command: bytes, text: bytes, category: str) -> None:
    """The plan is put off by the category's first delay and then made whole."""
    world.proxy.faults = [fault] = [Fault(Place.COMMAND, answer(text), command)]
    job_id = world.request()
    outcome = world.plan(job_id)
    assert outcome is not None
    assert (1, "requested", category) == (fault.hits, outcome.status, outcome.category)
    assert _FIRST_DELAYS[category] - 1 < world.due_in(job_id) <= _FIRST_DELAYS[category] * 1.1
    world.check(world.settle(job_id))


@pytest.mark.parametrize("command", [LOGIN, OPEN, BODIES], ids=["login", "examine", "bodies"])
def test_b45_the_suggested_backoff_is_a_floor(world: World, command: bytes) -> None:
    """Throttled for 92.4 seconds: until then nothing of the mailbox is due, and nobody asks the server anything."""
    job_id = world.planned()
    world.proxy.faults = [fault] = [Fault(Place.COMMAND, answer(_THROTTLED), command)]
    world.run()
    assert 1 == fault.hits
    assert 91 < world.due_in(job_id) < 92.415 * 1.1
    world.hear_out()
    world.run()
    world.proxy.hear_out()
    assert [] == world.proxy.commands
    world.check(world.settle(job_id))


def test_the_suggested_backoff_is_a_floor_for_plans_too(world: World) -> None:
    """A plan that is throttled waits as long as the server wishes."""
    world.proxy.faults = [Fault(Place.COMMAND, answer(_THROTTLED), LISTING)]
    job_id = world.request()
    assert world.plan(job_id) is not None
    assert 91 < world.due_in(job_id) < 92.415 * 1.1
    world.check(world.settle(job_id))


@pytest.mark.parametrize(
    ("place", "pattern", "act"),
    [
        (Place.COMMAND, LOGIN, answer(b"NO [LIMIT] Maximum number of connections from user+IP exceeded")),
        (Place.GREETING, b"", bye(b"Too many connections from your IP. Try again later.")),
    ],
    ids=["login", "greeting"],
)
def test_a_refusal_at_the_door_uses_no_attempt(world: World, place: Place, pattern: bytes, act: Act) -> None:
    """Throttled before any work on a chunk was done: the mailbox pauses, and the chunk has its attempts left."""
    job_id = world.planned()
    world.proxy.faults = [fault] = [Fault(place, act, pattern)]
    world.run()
    assert (1, 0, []) == (fault.hits, world.attempts(), world.failures())
    assert 4 < world.due_in(job_id)
    world.check(world.settle(job_id))


def test_b46_a_server_error_in_mid_sync_is_no_success(world: World) -> None:
    """Every chunk's first fetch fails: nothing is completed by it, every chunk is in the end, and all is there."""
    job_id = world.planned()
    fault = Fault(Place.COMMAND, answer(b"NO [UNAVAILABLE] Server error"), BODIES, times=5)
    world.proxy.faults = [fault]
    world.run()
    row = world.database.execute("SELECT status::text, emails_processed FROM sync_jobs WHERE id = %s", (job_id,))[0]
    assert "processing" == row["status"]
    assert row["emails_processed"] < TOTAL
    world.check(world.settle(job_id))
    assert 5 == fault.hits


def test_b25_a_chunk_that_never_arrives_is_named_and_the_others_land(world: World) -> None:
    """One chunk is refused three times: it is a dead letter, the job says so, and the next sync brings its messages."""
    job_id = world.planned()
    fault = Fault(Place.COMMAND, answer(b"NO [SERVERBUG] Internal error"), rb"FETCH 16:40 .*BODY", times=3)
    world.proxy.faults = [fault]
    job = world.settle(job_id)
    assert ("failed", 5, 1, TOTAL - 25) == tuple(
        job[name] for name in ("status", "completed_chunks", "failed_chunks", "emails_processed")
    )
    assert ["temporary"] * 3 == [failure.category for failure in world.failures()]
    stored = world.stored()
    served = world.served()
    assert [15, 60, 20] == [len(stored[path]) for path in ("Work", "INBOX", "Sent")]
    assert set(stored["Work"]) < set(served["Work"])
    world.check(world.sync())


def test_a_bad_moment_between_bodies_keeps_the_category(world: World) -> None:
    """A refusal after some bodies of the same command fails the attempt: nothing of the chunk is stored twice."""
    job_id = world.planned()

    def give_up(_tag: bytes, truth: bytes) -> list[bytes]:
        return [truth.split(b" ", 1)[0] + b" NO [UNAVAILABLE] Server error while fetching\r\n"]

    swallowed = Fault(Place.REPLY, lambda _tag, _truth: [], BODY, nth=10, times=16)
    refused = Fault(Place.COMPLETION, give_up, BODIES)
    world.proxy.faults = [swallowed, refused]
    world.check(world.settle(job_id))
    assert (16, 1) == (swallowed.hits, refused.hits)
    assert ["temporary"] == [failure.category for failure in world.failures()]
