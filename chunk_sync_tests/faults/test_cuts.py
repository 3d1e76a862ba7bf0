"""The line ends, by FIN or RST, at every step of the protocol: each time one attempt fails, and nothing is lost."""

from __future__ import annotations

import pytest

from chunk_sync_tests.faults.world import (
    BODIES,
    CAPABILITY,
    CHUNK,
    LIST,
    LISTING,
    LOGIN,
    OPEN,
    TOTAL,
    World,
    bodies_asked,
)
from chunk_sync_tests.servers.fault_script import (
    BODY,
    Act,
    Fault,
    Place,
    Step,
    bye,
    cut,
    cut_after,
    cut_in_literal,
)

_CODES = {Step.FIN: {"EOF"}, Step.RST: {"ECONNRESET", "EPIPE"}}

# Where: place, pattern, nth, and how many bytes of the truth still come.
_CONNECTING = {
    "connect": (Place.CONNECT, b"", 1, 0),
    "greeting": (Place.GREETING, b"", 1, 0),
    "in the greeting": (Place.GREETING, b"", 1, 9),
    "capability": (Place.REPLY, rb"CAPABILITY", 1, 0),
    "in the capabilities": (Place.REPLY, rb"CAPABILITY", 1, 20),
    "capability done": (Place.COMPLETION, CAPABILITY, 1, 0),
    "login": (Place.COMMAND, LOGIN, 1, 0),
    "login done": (Place.COMPLETION, LOGIN, 1, 0),
}
_PLANNING = {
    "list": (Place.REPLY, rb"^\* LIST", 2, 0),
    "in the list": (Place.REPLY, rb"^\* LIST", 2, 12),
    "list done": (Place.COMPLETION, LIST, 1, 0),
    "examine": (Place.REPLY, rb"UIDVALIDITY", 2, 0),
    "examine done": (Place.COMPLETION, OPEN, 2, 0),
    "listing": (Place.REPLY, rb"FETCH", 30, 0),
    "in the listing": (Place.REPLY, rb"FETCH", 30, 18),
    "listing done": (Place.COMPLETION, LISTING, 2, 0),
}
_FETCHING = {
    **{step: _CONNECTING[step] for step in ("connect", "greeting", "capability done", "login done")},
    "examine": (Place.REPLY, rb"UIDVALIDITY", 2, 0),
    "examine done": (Place.COMPLETION, OPEN, 2, 0),
    "bodies": (Place.COMMAND, BODIES, 2, 0),
    "before a body": (Place.REPLY, BODY, 30, 0),
    "in the top of a body": (Place.REPLY, BODY, 30, 12),
    "behind a literal": (Place.REPLY, BODY, 30, -3),
    "before the last body": (Place.REPLY, BODY, 2 * CHUNK, 0),
    "before the bodies' OK": (Place.COMPLETION, BODIES, 2, 0),
    "in the bodies' OK": (Place.COMPLETION, BODIES, 2, 5),
    "behind the bodies' OK": (Place.COMPLETION, BODIES, 2, 1 << 20),
}
_BY_RST_TOO = {"in the greeting", "login done", "listing", "in the top of a body", "before the bodies' OK"}
Where = tuple[Place, bytes, int, int]


def _cases(steps: dict[str, Where]) -> pytest.MarkDecorator:
    """Every step by FIN, the most different ones by RST too."""
    return pytest.mark.parametrize(
        ("where", "end"),
        [
            pytest.param(where, end, id=f"{name} by {end.name}")
            for name, where in steps.items()
            for end in (Step.FIN, Step.RST)
            if end is Step.FIN or name in _BY_RST_TOO
        ],
    )


def _fault(where: Where, end: Step) -> Fault:
    place, pattern, nth, kept = where
    return Fault(place, cut_after(kept, end) if kept else cut(end), pattern, nth=nth)


@_cases(_CONNECTING | _PLANNING)
def test_a_cut_while_planning(world: World, where: Where, end: Step) -> None:
    """The plan is put off by the first delay of `network`, leaves no chunk behind, and the next one is whole."""
    world.proxy.faults = [fault] = [_fault(where, end)]
    job_id = world.request()
    outcome = world.plan(job_id)
    assert outcome is not None
    assert (1, "requested", "network") == (fault.hits, outcome.status, outcome.category)
    assert [{"n": 0}] == world.database.execute("SELECT count(*) AS n FROM sync_chunks")
    assert 0.5 < world.due_in(job_id) < 2.3
    world.check(world.settle(job_id))


@_cases(_FETCHING)
def test_a_cut_while_fetching(world: World, where: Where, end: Step) -> None:
    """One attempt at one chunk fails as `network` and waits its first delay; every message lands once all the same."""
    job_id = world.planned()
    world.proxy.faults = [fault] = [_fault(where, end)]
    world.check(world.settle(job_id))
    assert 1 == fault.hits
    (failure,) = world.failures()
    assert "network" == failure.category
    assert failure.code in _CODES[end]
    assert failure.wait is not None
    assert 2.0 <= failure.wait <= 2.2


_MIDDLE = CHUNK + 12
_LAST = 2 * CHUNK


@pytest.mark.parametrize(
    ("nth", "act"),
    [
        pytest.param(_MIDDLE, cut_in_literal(0), id="before its first byte"),
        pytest.param(_MIDDLE, cut_in_literal(1), id="behind its first byte"),
        pytest.param(_MIDDLE, cut_in_literal(150), id="in its middle"),
        pytest.param(1, cut_in_literal(150), id="of the first message"),
        pytest.param(_LAST, cut_in_literal(150), id="of a last message"),
        pytest.param(_MIDDLE, cut_in_literal(150, farewell=b"\r\n* BYE Internal error\r\n"), id="by BYE"),
    ],
)
def test_b45_a_cut_inside_a_literal(world: World, nth: int, act: Act) -> None:
    """No torn message is stored; what had arrived whole stays, and only the rest of the chunk is asked for again."""
    job_id = world.planned()
    world.hear_out()
    world.proxy.faults = [fault] = [Fault(Place.REPLY, act, BODY, nth=nth)]
    world.check(world.settle(job_id))
    assert (1, ["network"]) == (fault.hits, [failure.category for failure in world.failures()])
    assert (TOTAL, CHUNK - (nth - 1) % CHUNK) == asked_again(world)


def test_b45_a_line_that_falls_silent_inside_a_literal(world: World) -> None:
    """Half-open: `timeout`; what had arrived whole stays here too."""
    job_id = world.planned()
    world.hear_out()
    world.proxy.faults = [fault] = [Fault(Place.REPLY, cut_in_literal(150, Step.STALL), BODY, nth=_MIDDLE)]
    with world.gives_up_soon():
        world.run()
    world.check(world.settle(job_id))
    assert (1, ["timeout"]) == (fault.hits, [failure.category for failure in world.failures()])
    assert (TOTAL, CHUNK - (_MIDDLE - 1) % CHUNK) == asked_again(world)


def asked_again(world: World) -> tuple[int, int]:
    """Count the messages whose bytes were asked for, and how often that was done once more."""
    world.proxy.hear_out()
    asked = bodies_asked(world.proxy.commands)
    return len(asked), sum(asked.values()) - len(asked)


def test_b45_a_reset_inside_a_literal(world: World) -> None:
    """The kernel throws away what nobody had read yet: of the chunk at most, and no torn message is stored."""
    job_id = world.planned()
    world.hear_out()
    world.proxy.faults = [fault] = [Fault(Place.REPLY, cut_in_literal(150, Step.RST), BODY, nth=_MIDDLE)]
    world.check(world.settle(job_id))
    assert (1, ["network"]) == (fault.hits, [failure.category for failure in world.failures()])
    asked, again = asked_again(world)
    assert TOTAL == asked
    assert CHUNK - (_MIDDLE - 1) % CHUNK <= again <= CHUNK


@pytest.mark.parametrize(
    ("place", "pattern", "text", "category"),
    [
        (Place.GREETING, b"", b"Too many connections from your IP. Try again later.", None),  # no attempt was used up
        (Place.COMMAND, LOGIN, b"[UNAVAILABLE] shutting down", "temporary"),
        (Place.COMMAND, OPEN, b"Server shutting down.", "temporary"),
        (Place.COMMAND, BODIES, b"Session expired, please login again.", "temporary"),
        (Place.REPLY, BODY, b"Internal error", "temporary"),
        (Place.COMMAND, BODIES, b"[UNAVAILABLE] Account exceeded command or bandwidth limits.", "rate_limit"),
    ],
    ids=["greeting", "login", "examine", "bodies", "between bodies", "bandwidth"],
)
def test_a_farewell(world: World, place: Place, pattern: bytes, text: bytes, category: str | None) -> None:
    """BYE is read for what it says, wherever it comes, and the work goes on later."""
    job_id = world.planned()
    world.proxy.faults = [fault] = [Fault(place, bye(text), pattern)]
    world.check(world.settle(job_id))
    assert (1, [category] if category else []) == (fault.hits, [failure.category for failure in world.failures()])


@pytest.mark.parametrize(
    ("place", "pattern"),
    [(Place.GREETING, b""), (Place.COMPLETION, LOGIN), (Place.COMMAND, OPEN)],
    ids=["greeting", "login", "examine"],
)
def test_a_half_open_line_while_fetching(world: World, place: Place, pattern: bytes) -> None:
    """A server that says nothing any more is given up after the timeout: `timeout`, and the next attempt is whole."""
    job_id = world.planned()
    world.proxy.faults = [fault] = [Fault(place, cut(Step.STALL), pattern)]
    with world.gives_up_soon():
        world.run()
    world.check(world.settle(job_id))
    assert (1, ["timeout"]) == (fault.hits, [failure.category for failure in world.failures()])


def test_a_half_open_line_while_planning(world: World) -> None:
    """A plan that hears nothing is put off by the first delay of `timeout`."""
    world.proxy.faults = [fault] = [Fault(Place.COMPLETION, cut(Step.STALL), LISTING)]
    job_id = world.request()
    with world.gives_up_soon():
        outcome = world.plan(job_id)
    assert outcome is not None
    assert (1, "requested", "timeout") == (fault.hits, outcome.status, outcome.category)
    assert 1.5 < world.due_in(job_id) < 3.4
    world.check(world.settle(job_id))


def test_a_cut_at_the_goodbye_is_no_failure(world: World) -> None:
    """When everything has landed, the end of the line is nobody's concern."""
    world.proxy.faults = [Fault(Place.COMMAND, cut(Step.RST), rb"^LOGOUT", times=None)]
    world.check(world.sync())
    assert [] == world.failures()
