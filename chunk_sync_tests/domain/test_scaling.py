"""How many runs are wanted: bounds, limits, promises, and that it does not flap."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from chunk_sync.domain.scaling import Decision, Demand, Rules, Work, settle, wanted_runs

RULES = Rules(ceiling=10, run_threads=2)
CALM = replace(RULES, drain_within=600.0)


def work(mailbox: int = 1, **other: object) -> Work:
    """A mailbox with a thousand chunks of a second each, and eight connections."""
    return replace(Work(mailbox, 1, "imap:x", 1_000, 1.0, 8), **other)


works = st.lists(
    st.builds(
        Work,
        mailbox_id=st.integers(1, 9),
        tenant_id=st.integers(1, 3),
        provider=st.sampled_from("abc"),
        chunks=st.integers(0, 10_000),
        chunk_seconds=st.none() | st.floats(0.001, 100),
        connections=st.integers(0, 20),
        deadline=st.none() | st.floats(-100, 10_000),
    ),
    max_size=6,
)
limits = st.builds(
    Rules,
    ceiling=st.integers(1, 64),
    run_threads=st.integers(1, 4),
    drain_within=st.floats(1, 3_600),
    fewest=st.integers(0, 3),
    tenant_limits=st.dictionaries(st.integers(1, 3), st.integers(0, 9)),
    provider_limits=st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)),
)


@given(works, limits)
def test_wanted_runs_keep_the_bounds(due: list[Work], rules: Rules) -> None:
    """Never above the ceiling, nor below the fewest; none without work, one at least with it, where limits let it."""
    demand = wanted_runs(due, rules)
    assert min(rules.fewest, rules.ceiling) <= demand.wanted <= rules.ceiling
    moving = [one for one in due if one.chunks and one.connections]
    assert demand.useful <= sum(max(one.connections // rules.run_threads, 1) for one in moving)
    if not moving:
        assert (rules.fewest, 0) == (demand.wanted, demand.useful) or demand.wanted == rules.ceiling
    elif not rules.tenant_limits and not rules.provider_limits:
        assert demand.wanted >= 1
        assert demand.wanted <= max(demand.useful, rules.fewest)


@given(works, limits, st.integers(0, 5), st.integers(1, 5_000))
def test_more_work_never_wants_fewer_runs(due: list[Work], rules: Rules, which: int, more: int) -> None:
    """Whatever the limits: more chunks of one mailbox, and neither number falls."""
    before = wanted_runs(due, rules)
    grown = [replace(one, chunks=one.chunks + more) if n == which else one for n, one in enumerate(due)]
    after = wanted_runs(grown, rules)
    assert before.wanted <= after.wanted
    assert before.useful <= after.useful
    assert before.backlog_seconds <= after.backlog_seconds


def test_as_many_as_there_is_work_for() -> None:
    """Eight connections feed four runs of two threads; a few seconds of work feed one."""
    assert 4 == wanted_runs([work()], RULES).wanted
    assert 8 == wanted_runs([work(1), work(2)], RULES).wanted
    assert (10, 12) == (wanted_runs([work(n) for n in range(3)], RULES).wanted, 12)
    assert 12 == wanted_runs([work(n) for n in range(3)], RULES).useful
    assert 1 == wanted_runs([work(chunks=3)], RULES).wanted
    assert 1 == wanted_runs([work(connections=1)], RULES).wanted
    assert 4 == wanted_runs([work(chunk_seconds=None)], CALM).wanted


def test_a_calm_operator_has_fewer_runs_unless_a_promise_presses() -> None:
    """A thousand seconds within ten minutes are two runs, within five minutes that somebody was promised four."""
    assert 2 == wanted_runs([work()], CALM).wanted
    pressed = wanted_runs([work(deadline=300.0)], CALM)
    assert (4, "1002 s of work in 1 mailboxes, 1 of them pressed by a promise: 4 runs") == (
        pressed.wanted,
        pressed.reason,
    )
    assert 4 == wanted_runs([work(deadline=-5.0)], CALM).wanted
    assert 2 == wanted_runs([work(deadline=100_000.0)], CALM).wanted


def test_limits_of_tenants_and_providers() -> None:
    """Chunks at work at once are threads of runs: four chunks feed two runs; nought feeds none."""
    due = [work(1), work(2)]
    assert 2 == wanted_runs(due, replace(RULES, tenant_limits={1: 4})).wanted
    assert 3 == wanted_runs(due, replace(RULES, provider_limits={"imap:x": 5})).wanted
    assert 0 == wanted_runs(due, replace(RULES, tenant_limits={1: 0})).wanted
    assert 4 == wanted_runs([work(1), work(2, tenant_id=2)], replace(RULES, tenant_limits={1: 0})).wanted


def test_nothing_due() -> None:
    """No runs, or the fewest that the operator keeps."""
    assert Demand(0, 0, 0.0, "nothing is due") == wanted_runs([], RULES)
    assert 2 == wanted_runs([], replace(RULES, fewest=2)).wanted


@given(st.lists(st.tuples(st.floats(1, 30), st.integers(0, 10)), min_size=1, max_size=60))
def test_up_at_once_down_after_a_while(ticks: list[tuple[float, int]]) -> None:
    """What holds is never below what is wanted, and exactly the most that was wanted in the last while, or since."""
    now, state, seen = 0.0, None, []
    for gap, wanted in ticks:
        now += gap
        before = state
        state = settle(before, Demand(wanted, wanted, 0.0, ""), now, RULES)
        seen.append((now, wanted))
        assert state.wanted >= wanted
        assert state.wanted <= max(w for _, w in seen)
        if before and state.wanted < before.wanted:
            assert all(w < before.wanted for at, w in seen if at > now - RULES.fewer_after)


def test_it_does_not_flap() -> None:
    """Demand that goes up and down each tick leaves the number of runs where it is."""
    state: Decision | None = None
    held = []
    for tick in range(200):
        state = settle(state, Demand(8 if tick % 10 == 0 else 1, 8, 0.0, ""), tick * 5.0, RULES)
        held.append(state.wanted)
    assert {8} == set(held)
    for tick in range(200, 240):
        state = settle(state, Demand(1, 1, 0.0, ""), tick * 5.0, RULES)
    assert state is not None
    assert 1 == state.wanted


def test_a_lower_ceiling_holds_at_once() -> None:
    """What the operator takes away is not waited for."""
    demand = Demand(2, 9, 0.0, "")
    assert Decision(2, None, 0) == settle(Decision(8, None, 0), demand, 1.0, replace(RULES, ceiling=2))
    assert math.isclose(120.0, RULES.fewer_after)
