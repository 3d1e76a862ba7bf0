"""Who is served when: tenants by their weight, urgent work first, nobody never; breakers; and what a claim costs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from chunk_sync.store.database import Database, query
from chunk_sync_tests.store.queue_model import (
    MINUTE,
    NOON,
    Console,
    Job,
    Mailbox,
    Tenant,
    add_mailbox,
    add_tenant,
    connect,
    faults,
    plan_job,
    tell_time,
)

SECOND = timedelta(seconds=1)


class Service(Console):
    """A queue, and one worker that serves it."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.worker = self.one("SELECT open_worker('worker', '100 days')")

    def tenant(self, name: str, *, weight: int = 1) -> Tenant:
        """Add a tenant."""
        return add_tenant(self.conn, name, weight=weight)

    def mailboxes(
        self, tenant: Tenant, count: int, chunks: int, *, host: str = "one.example", priority: int = 20
    ) -> None:
        """Add mailboxes, each with a planned job."""
        for number in range(count):
            box = add_mailbox(self.conn, tenant, f"{tenant.id}-{number}", host=host)
            self.job(box, chunks, priority)

    def mailbox(self, name: str, *, host: str = "one.example") -> Mailbox:
        """Add a tenant of this name with one mailbox."""
        return add_mailbox(self.conn, self.tenant(name), name, host=host)

    def job(self, box: Mailbox, chunks: int, priority: int = 20) -> Job:
        """Plan a job."""
        return plan_job(self.conn, self.worker, box, query("plan_enqueue"), chunks=chunks, priority=priority)

    def claim(self, limit: int = 1) -> list[tuple[Any, ...]]:
        """Claim anything: chunk, token."""
        return self.conn.execute(
            "SELECT chunk_id, lease_token FROM claim_chunks(%s, %s)", (self.worker, limit)
        ).fetchall()

    def complete(self, chunks: Sequence[tuple[Any, ...]]) -> None:
        """Complete chunks."""
        ids, tokens = [chunk[0] for chunk in chunks], [chunk[1] for chunk in chunks]
        self.conn.execute("SELECT FROM complete_chunks(%s, %s, %s)", (ids, tokens, [10] * len(ids)))

    def fail(self, chunk: tuple[Any, ...], category: str = "network") -> datetime | None:
        """Fail a chunk; when it is due again."""
        return self.one("SELECT next_attempt_at FROM fail_chunk(%s, %s, %s::error_category, 'x')", *chunk, category)

    def serve(self, chunks: int) -> list[int]:
        """Claim and complete so many chunks one by one; the tenants served, in their order."""
        served: list[int] = []
        for _ in range(chunks):
            claimed = self.claim()
            served.append(self.one("SELECT tenant_id FROM chunk_processing_queue WHERE chunk_id = %s", claimed[0][0]))
            self.complete(claimed)
        return served


@pytest.fixture
def service(database: Database) -> Iterator[Service]:
    """A queue with nothing in it, and nothing wrong with it at the end."""
    service = Service(database.dsn)
    with service.conn:
        yield service
        assert [] == faults(service.conn)


def jain(amounts: Sequence[float]) -> float:
    """Jain's index of fairness: 1 when all have the same."""
    return sum(amounts) ** 2 / (len(amounts) * sum(amount**2 for amount in amounts))


CHURN = """
    DO $$
    DECLARE
        v_ids bigint[];
        v_tokens bigint[];
    BEGIN
        FOR i IN 1..%(rounds)s LOOP
            SELECT array_agg(c.chunk_id), array_agg(c.lease_token) INTO v_ids, v_tokens
            FROM claim_chunks(%(worker)s, %(size)s) AS c;
            PERFORM complete_chunks(v_ids, v_tokens, array_fill(1, ARRAY[cardinality(v_ids)]));
            COMMIT;
        END LOOP;
    END $$
"""


def churn(conn: psycopg.Connection[Any], worker: int, rounds: int, size: str = "20") -> None:
    """Claim and complete so many chunks so many times, each time in a transaction; `size` may depend on the round i."""
    conn.execute((CHURN % {"rounds": rounds, "worker": worker, "size": size}).encode())


# Tenants


def test_b36_everybody_is_served_within_one_rotation(service: Service) -> None:
    """Beside a tenant of two thousand chunks, five small ones have each of their chunks served in turn."""
    service.mailboxes(service.tenant("huge"), 1, 2000)
    small = [service.tenant(f"small{number}") for number in range(5)]
    for tenant in small:
        service.mailboxes(tenant, 1, 3)
    served = service.serve(18)
    assert all(set(served[i : i + 6]) == {*served} and len({*served}) == 6 for i in (0, 6, 12))


def test_b36_a_tenant_that_comes_later_does_not_wait(service: Service) -> None:
    """After two hundred chunks of the huge one, a small tenant's chunks are every second one; and no more than that."""
    service.mailboxes(service.tenant("huge"), 1, 2000)
    service.serve(200)
    small = service.tenant("small")
    service.mailboxes(small, 1, 10)
    places = [place for place, tenant in enumerate(service.serve(30)) if tenant == small.id]
    assert len(places) == 10
    assert places[0] <= 1
    assert all(2 == later - earlier for earlier, later in itertools.pairwise(places))


def test_b36_many_mailboxes_are_no_larger_share(service: Service) -> None:
    """Tenants of one, five, ten and forty mailboxes get the same, whatever the claims' size: Jain's index >= 0.99."""
    tenants = {service.tenant(f"of{count}").id: count for count in (1, 5, 10, 40)}
    for tenant_id, count in tenants.items():
        service.mailboxes(Tenant(tenant_id, "", None), count, 2000 // count)
    service.one("SELECT rebalance_lanes()")
    churn(service.conn, service.worker, 400, "1 + i % 8")
    done = "SELECT tenant_id, count(*) FROM chunk_processing_queue WHERE status = 'completed' GROUP BY tenant_id"
    shares = dict(service.conn.execute(done).fetchall())
    assert 1800 == sum(shares.values())
    assert jain([shares[tenant_id] for tenant_id in tenants]) >= 0.99


def test_weights_are_shares(service: Service) -> None:
    """Tenants of weight 1, 2 and 5 are served 1 : 2 : 5."""
    tenants = {weight: service.tenant(f"w{weight}", weight=weight) for weight in (1, 2, 5)}
    for tenant in tenants.values():
        service.mailboxes(tenant, 2, 300)
    service.one("SELECT rebalance_lanes()")
    shares = Counter(service.serve(400))
    assert [50, 100, 250] == [pytest.approx(shares[tenant.id], abs=8) for tenant in tenants.values()]


def test_an_idle_tenant_has_no_credit(service: Service) -> None:
    """Who did nothing for three hundred chunks gets its share from now on, not what it missed."""
    idle, busy = service.mailbox("idle"), service.mailbox("busy")
    service.job(idle, 1)
    service.job(busy, 600)
    service.serve(300)
    service.job(idle, 100)
    shares = Counter(service.serve(100))
    assert [50, 50] == [pytest.approx(shares[box.tenant.id], abs=5) for box in (idle, busy)]


def test_a_tenant_that_others_wait_for_is_not_served_twice(service: Service) -> None:
    """Jobs planned one after the other do not add up: a tenant's second job waits for its turn."""
    box, other = service.mailbox("box"), service.mailbox("other")
    for _ in range(5):
        service.job(box, 20)
    service.job(other, 20)
    assert 10 == Counter(service.serve(20))[other.tenant.id]


# Priority and age


def test_b37_urgent_work_of_one_tenant_comes_before_any_other_work(service: Service) -> None:
    """Priority is across tenants: whoever waits at 5 waits until nobody waits at 30."""
    slow, urgent = service.mailbox("slow"), service.mailbox("urgent")
    service.job(slow, 10, priority=5)
    service.job(urgent, 10, priority=30)
    assert [urgent.tenant.id] * 10 + [slow.tenant.id] * 10 == service.serve(20)


def test_nothing_starves_under_a_stream_of_urgent_work(service: Service) -> None:
    """Each minute brings more urgent chunks than are served: priority 1 has its turn in half an hour."""
    patient, urgent = service.mailbox("patient"), service.mailbox("urgent")
    job = service.job(patient, 1, priority=1)
    for minute in range(40):  # noqa: B007 - looked at below
        service.job(urgent, 6, priority=30)
        service.serve(3)
        if "completed" == service.one("SELECT status::text FROM sync_jobs WHERE id = %s", job.id):
            break
        service.wait(60)
    assert 28 <= minute <= 31


def test_age_is_urgency_within_a_mailbox(service: Service) -> None:
    """A job of priority 10 that waits eleven minutes goes before one of priority 20 that has just come."""
    box = service.mailbox("box")
    old = service.job(box, 1, priority=10)
    service.go_to(NOON + 11 * MINUTE)
    service.job(box, 1, priority=20)
    service.serve(1)
    assert "completed" == service.one("SELECT status::text FROM sync_jobs WHERE id = %s", old.id)


# Breakers


def trip(service: Service, failures: int, category: str = "network") -> None:
    """Fail chunks one after the other, each at its first attempt."""
    for _ in range(failures):
        service.fail(service.claim()[0], category)


def pause_after(service: Service, box: Mailbox) -> float:
    """Seconds until the mailbox may be claimed from again."""
    not_before = service.one("SELECT not_before FROM mailbox_lanes WHERE mailbox_id = %s", box.id)
    return (not_before - service.now) / SECOND


def breaker(service: Service, box: Mailbox) -> str:
    """The state of a mailbox's breaker."""
    return service.one("SELECT breaker::text FROM mailbox_lanes WHERE mailbox_id = %s", box.id)


def test_b42_five_failures_in_a_row_open_a_mailboxes_breaker(service: Service) -> None:
    """Nothing of it is claimed for thirty seconds; then one chunk, and with its success all again."""
    box = service.mailbox("box")
    service.job(box, 20)
    trip(service, 4)
    assert "closed" == breaker(service, box)
    trip(service, 1)
    assert ("open", 30.0, []) == (breaker(service, box), pause_after(service, box), service.claim(9))
    service.wait(29.9)
    assert [] == service.claim(9)
    service.wait(0.1)
    probe = service.claim(9)
    assert (1, "half_open", []) == (len(probe), breaker(service, box), service.claim(9))
    service.complete(probe)
    assert ("closed", 4) == (breaker(service, box), len(service.claim(9)))


def test_b42_each_failed_trial_doubles_the_pause_up_to_its_limit(service: Service) -> None:
    """30 s, 60 s, 120 s, ... 15 min and no more; a success in between begins anew."""
    box = service.mailbox("box")
    service.job(box, 40)
    trip(service, 5)
    pauses = [pause_after(service, box)]
    for _ in range(6):
        service.wait(pauses[-1])
        trip(service, 1)
        pauses.append(pause_after(service, box))
    assert [30, 60, 120, 240, 480, 900, 900] == pauses
    service.wait(900)
    service.complete(service.claim())
    trip(service, 5)
    assert 30 == pause_after(service, box)


def test_b42_a_success_ends_the_row_of_failures(service: Service) -> None:
    """Four failures, a success, four failures: the breaker stays closed."""
    box = service.mailbox("box")
    service.job(box, 20)
    trip(service, 4)
    service.complete(service.claim())
    trip(service, 4)
    assert "closed" == breaker(service, box)


@pytest.mark.parametrize("category", ["permission", "not_found", "data_conflict", "processing_error", "unknown"])
def test_b42_failures_that_say_nothing_of_the_provider_do_not_count(service: Service, category: str) -> None:
    """Ten messages that are refused or broken leave the mailbox open."""
    box = service.mailbox("box")
    service.job(box, 20)
    trip(service, 10, category)
    assert "closed" == breaker(service, box)


def test_b42_failures_under_way_do_not_lengthen_the_pause(service: Service) -> None:
    """What was already running when the breaker opened fails too: still thirty seconds, still the first trip."""
    box = service.mailbox("box")
    service.job(box, 20)
    trip(service, 3)
    running = service.claim(4)
    for chunk in running:
        service.fail(chunk)
    assert ("open", 30.0) == (breaker(service, box), pause_after(service, box))
    assert 1 == service.one("SELECT breaker_trips FROM mailbox_lanes WHERE mailbox_id = %s", box.id)


def test_b42_a_probe_whose_worker_dies_is_followed_by_another(service: Service) -> None:
    """The lost lease neither opens nor closes the breaker: after the sweep one more chunk may try."""
    box = service.mailbox("box")
    service.job(box, 20)
    trip(service, 5)
    service.wait(30)
    mortal = service.one("SELECT open_worker('mortal')")
    assert 1 == service.one("SELECT count(*) FROM claim_chunks(%s, 9)", mortal)
    service.wait(61)
    assert 1 == service.one("SELECT cleanup_stuck_chunks()")
    assert ("half_open", 1) == (breaker(service, box), len(service.claim(9)))


def ill_provider(service: Service, *, boxes: int = 5, tenants: int = 3) -> None:
    """Open the breakers of mailboxes of several tenants at one provider."""
    owners = [service.tenant(f"ill{number}") for number in range(tenants)]
    for number in range(boxes):
        box = add_mailbox(service.conn, owners[number % tenants], f"ill{number}", host="ill.example")
        service.job(box, 6, priority=30)
        trip(service, 5)


PROVIDER = "SELECT breaker::text FROM provider_lanes WHERE provider = 'imap:ill.example'"


@pytest.mark.parametrize(("boxes", "tenants", "state"), [(5, 3, "open"), (4, 3, "closed"), (5, 2, "closed")])
def test_b42_many_ill_mailboxes_of_many_tenants_open_their_providers_breaker(
    service: Service, boxes: int, tenants: int, state: str
) -> None:
    """Five mailboxes of three tenants: the provider is ill, and its other mailboxes pause too. Fewer: they are."""
    well, elsewhere = service.mailbox("well", host="ill.example"), service.mailbox("elsewhere")
    for box in (well, elsewhere):
        service.job(box, 3, priority=1)
    ill_provider(service, boxes=boxes, tenants=tenants)
    assert state == service.one(PROVIDER)
    served = {elsewhere.tenant.id} if state == "open" else {elsewhere.tenant.id, well.tenant.id}
    assert served == set(service.serve(3 * len(served)))
    assert [] == service.claim(9)


def test_b42_a_provider_that_may_be_well_again_gets_one_chunk(service: Service) -> None:
    """After its pause one chunk at a time is tried, of all its mailboxes; a success opens it again."""
    service.job(service.mailbox("well", host="ill.example"), 8, priority=1)
    ill_provider(service)
    service.wait(30)
    probe = service.claim(9)
    assert (1, [], "half_open") == (len(probe), service.claim(9), service.one(PROVIDER))
    service.complete(probe)
    assert "closed" == service.one(PROVIDER)
    assert len(service.claim(9)) > 1


def test_b42_a_provider_that_is_still_ill_pauses_twice_as_long(service: Service) -> None:
    """The probe fails and trips its mailbox again: the provider's pause doubles."""
    ill_provider(service)
    service.wait(30)
    trip(service, 1)
    assert ("open", service.now + timedelta(seconds=60)) == service.conn.execute(
        "SELECT breaker::text, not_before FROM provider_lanes WHERE provider = 'imap:ill.example'"
    ).fetchone()
    service.wait(59)
    assert [] == service.claim(9)


# What it costs


def buffers(conn: psycopg.Connection[Any], worker: int) -> int:
    """Pages that a claim of ten chunks touches, everything it calls included: the median of five, each completed."""
    statement = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) SELECT * FROM claim_chunks(%s, 10)"
    running = "SELECT chunk_id, lease_token FROM chunk_processing_queue WHERE status = 'processing'"
    plans = []
    for _ in range(5):
        plans.append(conn.execute(statement, (worker,)).fetchall()[0][0][0]["Plan"])
        claimed = conn.execute(running).fetchall()
        assert 10 == len(claimed)
        ids, tokens = [chunk[0] for chunk in claimed], [chunk[1] for chunk in claimed]
        conn.execute("SELECT FROM complete_chunks(%s, %s, %s)", (ids, tokens, [1] * 10))
    return sorted(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in plans)[2]


@pytest.fixture
def deep(database: Database) -> Iterator[tuple[Service, psycopg.Connection[Any]]]:
    """Twenty thousand chunks waiting in a hundred mailboxes; a connection with the real clock."""
    service = Service(database.dsn)
    with service.conn, connect(service.dsn, None) as conn:
        conn.execute("UPDATE workers SET lease_until = 'infinity'")
        tell_time(service.conn, datetime.now().astimezone())
        for number in range(100):
            service.mailboxes(service.tenant(f"t{number}"), 1, 200)
        conn.execute("VACUUM ANALYZE")
        yield service, conn
        assert [] == faults(conn)


def test_a_claim_reads_few_pages_of_a_deep_queue(deep: tuple[Service, psycopg.Connection[Any]]) -> None:
    """Ten chunks of twenty thousand cost some dozens of pages, not hundreds."""
    service, conn = deep
    churn(conn, service.worker, 20)
    assert buffers(conn, service.worker) < 250


def test_a_claim_costs_the_same_while_somebody_holds_an_old_snapshot(
    deep: tuple[Service, psycopg.Connection[Any]],
) -> None:
    """After ten thousand claims and completions that no vacuum may clean up, a claim reads at most twice as much."""
    service, conn = deep
    churn(conn, service.worker, 20)
    clean = buffers(conn, service.worker)
    with connect(service.dsn) as reader, reader.transaction():
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM mailbox_lanes")
        churn(conn, service.worker, 500)
        held = buffers(conn, service.worker)
        assert held <= 2 * clean


def test_claims_and_completions_touch_no_index_of_the_queue(deep: tuple[Service, psycopg.Connection[Any]]) -> None:
    """Both are HOT updates: no index mentions what they change."""
    service, conn = deep
    figures = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'chunk_processing_queue'"
    conn.execute("SELECT pg_stat_force_next_flush()")
    before = conn.execute(figures).fetchone()
    churn(conn, service.worker, 250)
    conn.execute("SELECT pg_stat_force_next_flush()")
    after = conn.execute(figures).fetchone()
    assert before is not None
    assert after is not None
    updated, hot = (now - then for now, then in zip(after, before, strict=True))
    assert 10_000 == updated
    assert hot / updated > 0.95
