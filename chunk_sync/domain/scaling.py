"""Scaling: how many sync runs are wanted, from what is due, its pace, limits and promises. Pure; times are seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chunk_sync.domain.dispatch import FIRST_MIN, SHARED_SECONDS

_K = TypeVar("_K")
_START_SECONDS = 2.0
"""A run costs about as much before its first chunk; a run serves one mailbox."""
_MARGIN = 0.8
"""A promise is to be kept with a fifth of its time to spare."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a mailbox has due, now or soon: chunks, those at work among them; what a run takes for one (None: unknown).

    `connections` is what its limits leave it now, `deadline` the seconds until a promise about it is broken.
    """

    mailbox_id: int
    tenant_id: int
    provider: str
    chunks: int
    chunk_seconds: float | None
    connections: int
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator says, in seconds and runs; limits are chunks at work at once, of a tenant or a provider."""

    ceiling: int
    run_threads: int
    drain_within: float = 5.0
    fewest: int = 0
    fewer_after: float = 120.0
    tenant_limits: Mapping[int, int] | None = None
    provider_limits: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """Runs wanted within the ceiling, runs that would find work without it, and what is due in seconds of one run."""

    wanted: int
    useful: int
    backlog_seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What holds, since when fewer would do (None: they would not), and the most of those fewer since then."""

    wanted: int
    fewer_since: float | None
    fewer_peak: int


def wanted_runs(work: Sequence[Work], rules: Rules) -> Demand:
    """Say how many runs it takes to drain what is due in time, and to keep every promise.

    A mailbox has use for no more runs than its connections feed, nor for a run with less work than starting it costs.
    More work never wants fewer runs.
    """
    needs = [(one, *_need(one, rules)) for one in work if one.chunks > 0 and one.connections > 0]
    seconds = sum(_seconds(one) for one, *_ in needs)
    useful = math.ceil(_limited([(one, float(useful)) for one, useful, *_ in needs], rules) - 1e-9)
    needed = math.ceil(_limited([(one, need) for one, _, need, _ in needs], rules) - 1e-9)
    wanted = min(max(needed, rules.fewest), rules.ceiling)
    pressed = sum(deadline for *_, deadline in needs)
    return Demand(wanted, useful, seconds, _reason(len(needs), seconds, needed, wanted, pressed, rules))


def settle(before: Decision | None, demand: Demand, now: float, rules: Rules) -> Decision:
    """Go up at once, and down only after fewer runs were enough for a while: to the most that was wanted in it."""
    if before is None or demand.wanted >= before.wanted:
        return Decision(demand.wanted, None, 0)
    if before.wanted > rules.ceiling:
        return Decision(demand.wanted, None, 0)
    since = now if before.fewer_since is None else before.fewer_since
    peak = max(demand.wanted, before.fewer_peak if before.fewer_since is not None else 0)
    if now - since >= rules.fewer_after:
        return Decision(peak, None, 0)
    return Decision(before.wanted, since, peak)


def _seconds(one: Work) -> float:
    pace = SHARED_SECONDS / FIRST_MIN if one.chunk_seconds is None else one.chunk_seconds
    return one.chunks * pace + _START_SECONDS


def _need(one: Work, rules: Rules) -> tuple[int, float, bool]:
    """Give how many runs a mailbox has use for, how many it needs, and whether a promise makes it more."""
    seconds = _seconds(one)
    useful = min(max(one.connections // rules.run_threads, 1), math.ceil(seconds / (SHARED_SECONDS + _START_SECONDS)))
    if one.chunk_seconds is None:
        return useful, float(useful), False  # nobody knows how long it takes: as fast as it can
    calm = min(seconds / rules.drain_within, useful)
    if one.deadline is None:
        return useful, calm, False
    pressed = min(seconds / max(one.deadline * _MARGIN, 1.0), useful)
    return useful, max(calm, pressed), pressed > calm


def _limited(runs: Sequence[tuple[Work, float]], rules: Rules) -> float:
    """Add up runs within the limits of tenants and of providers."""
    by_tenant: dict[int, float] = {}
    by_provider: dict[str, float] = {}
    for one, count in runs:
        by_tenant[one.tenant_id] = by_tenant.get(one.tenant_id, 0.0) + count
        by_provider[one.provider] = by_provider.get(one.provider, 0.0) + count
    tenants = sum(min(n, _runs(rules.tenant_limits, tenant, rules)) for tenant, n in by_tenant.items())
    providers = sum(min(n, _runs(rules.provider_limits, provider, rules)) for provider, n in by_provider.items())
    return min(tenants, providers)


def _runs(limits: Mapping[_K, int] | None, key: _K, rules: Rules) -> float:
    """Say how many runs a limit of chunks at work feeds."""
    limit = (limits or {}).get(key)
    return math.inf if limit is None else float(math.ceil(limit / rules.run_threads))


def _reason(mailboxes: int, seconds: float, needed: int, wanted: int, pressed: int, rules: Rules) -> str:
    """Say it in one line."""
    if not mailboxes:
        return "nothing is due" if not wanted else "nothing is due, the fewest are kept"
    said = f"{seconds:.0f} s of work in {mailboxes} mailboxes"
    if pressed:
        said += f", {pressed} of them pressed by a promise"
    if needed > rules.ceiling:
        return f"{said}: {needed} runs, more than the ceiling of {rules.ceiling}"
    return f"{said}: {needed} runs"
