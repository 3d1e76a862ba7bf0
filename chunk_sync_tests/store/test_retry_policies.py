"""Retry rules: the table of contract §4, delays, jitter, tenants' own rules, stress; and who reads the same rows."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from chunk_sync.domain.chunks import ClaimedChunk
from chunk_sync.errors import ErrorCategory
from chunk_sync.store import migrations
from chunk_sync.store.database import Database, Row, sql_folder
from chunk_sync.store.mailboxes import add_mailbox
from chunk_sync_tests.factory import (
    PlannedJob,
    claim,
    complete,
    make_job,
    make_mailbox,
    move_clock,
    open_worker,
    set_clock,
)

NOON = "2026-11-22 12:00:00+00"
HOST = "imap:mail.example.org"
CATEGORIES = [category.value for category in ErrorCategory]
DELAYS = {
    "rate_limit": [5000, 15000, 45000, 45000, 45000],
    "network": [2000, 4000, 8000, 8000, 8000],
    "temporary": [2000, 4000, 8000, 8000, 8000],
    "timeout": [3000, 6000, 9000, 9000, 9000],
    "auth": [2000, 5000, 5000, 5000, 5000],
    "processing_error": [1000, 2000, 4000, 4000, 4000],
    "unknown": [1000, 2000, 4000, 4000, 4000],
    "permission": [None] * 5,
    "not_found": [None] * 5,
    "data_conflict": [None] * 5,
}
NEVER = ("permission", "not_found", "data_conflict")
# Y: tried again after this many attempts, 0 to 4.
TRUTH = {
    3: dict.fromkeys(("timeout", "rate_limit", "network", "temporary", "processing_error", "unknown"), "YYY--")
    | {"auth": "YY---"}
    | dict.fromkeys(NEVER, "-----"),
    5: dict.fromkeys(("timeout", "network", "temporary"), "YYYY-")
    | dict.fromkeys(("processing_error", "unknown"), "YYYYY")
    | {"rate_limit": "YYY--", "auth": "YY---"}
    | dict.fromkeys(NEVER, "-----"),
}


def delay(
    database: Database,
    category: str,
    attempts: int,
    *,
    max_attempts: int = 9,
    retry_after: int | None = None,
    tenant: int | None = None,
    provider: str | None = None,
) -> int | None:
    """Ask the rule."""
    return database.execute(
        "SELECT retry_delay_ms(%s::error_category, %s, %s, %s::integer, %s::bigint, %s) AS ms",
        (category, attempts, max_attempts, retry_after, tenant, provider),
    )[0]["ms"]


def fail_often(
    database: Database,
    count: int,
    *,
    tenant: int,
    category: str = "network",
    provider: str = HOST,
    status: str = "error",
) -> None:
    """Write attempts that failed just now."""
    database.execute(
        "INSERT INTO chunked_sync_health_monitoring (tenant_id, mailbox_id, provider, attempt_number, status,"
        " processing_time_ms, error_category)"
        " SELECT %s, 1, %s, 1, %s::attempt_status, 5, %s::error_category FROM generate_series(1, %s)",
        (tenant, provider, status, category, count),
    )


def make_tenant(database: Database, name: str) -> int:
    """Add a customer."""
    return database.execute("INSERT INTO tenants (name) VALUES (%s) RETURNING id", (name,))[0]["id"]


def own_rule(database: Database, tenant: int, category: str, **columns: object) -> None:
    """Give a tenant a rule of its own."""
    known = {"kind": "schedule", "delays_ms": [7000], "attempts_limit": 4, "retryable": True} | columns
    database.execute(
        "INSERT INTO retry_policies (tenant_id, category, kind, delays_ms, attempts_limit, retryable)"
        " VALUES (%s, %s, %s::backoff_kind, %s, %s, %s)",
        (tenant, category, known["kind"], known["delays_ms"], known["attempts_limit"], known["retryable"]),
    )


@pytest.mark.parametrize("max_attempts", [3, 5])
@pytest.mark.parametrize("category", CATEGORIES)
def test_b01_the_truth_table(database: Database, category: str, max_attempts: int) -> None:
    """A category is tried again after exactly the attempts of the measured table; both doors give one answer."""
    row = database.execute(
        "SELECT string_agg(CASE WHEN should_retry_chunk_enhanced(NULL, n, %(max)s, %(category)s) THEN 'Y' ELSE '-' END,"
        " '' ORDER BY n) AS should, string_agg(CASE WHEN retry_delay_ms(%(category)s::error_category, n, %(max)s)"
        " IS NULL THEN '-' ELSE 'Y' END, '' ORDER BY n) AS delayed FROM generate_series(0, 4) AS n",
        {"max": max_attempts, "category": category},
    )[0]
    assert {"should": TRUTH[max_attempts][category], "delayed": TRUTH[max_attempts][category]} == row


@pytest.mark.parametrize("category", CATEGORIES)
def test_b02_the_backoff_of_attempts_one_to_five(database: Database, category: str) -> None:
    """The n-th delay of a category is the contract's, the last one repeats, and attempt 0 waits like the first."""
    rows = database.execute(
        "SELECT backoff_ms(p, n) AS ms FROM retry_policies AS p, generate_series(1, 5) AS n"
        " WHERE p.category = %s AND p.tenant_id IS NULL ORDER BY n",
        (category,),
    )
    assert DELAYS[category] == [row["ms"] for row in rows]
    first = database.execute("SELECT backoff_ms(retry_policy(%s::error_category, NULL), 0) AS ms", (category,))
    assert [{"ms": DELAYS[category][0]}] == first


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ("'exponential', 1, 100, 86400000, NULL", [1, 100, 10_000, 1_000_000, 86_400_000]),
        ("'exponential', 1000, 1.5, 5000, NULL", [1000, 1500, 2250, 3375, 5000]),
        ("'linear', 86400000, NULL, 86400000, NULL", [86_400_000] * 5),
        ("'schedule', NULL, NULL, NULL, '{0,10}'", [0, 10, 10, 10, 10]),
    ],
)
def test_every_kind_stays_in_range_whatever_the_attempt(database: Database, numbers: str, expected: list[int]) -> None:
    """A rule's delay never passes its cap and never overflows, at attempt 5 or at the two thousand millionth."""
    rows = database.execute(
        f"WITH p AS (UPDATE retry_policies SET (kind, base_ms, factor, max_delay_ms, delays_ms) = ({numbers})"
        " WHERE category = 'network' RETURNING retry_policies)"
        " SELECT backoff_ms(p.retry_policies, n) AS ms"
        " FROM p, unnest('{1,2,3,4,5,2147483647}'::integer[]) AS n ORDER BY n"
    )
    assert [*expected, expected[-1]] == [row["ms"] for row in rows]


@pytest.mark.parametrize("category", [name for name in CATEGORIES if name not in NEVER])
def test_b12_jitter_is_at_most_a_tenth_and_always_on_top(database: Database, category: str) -> None:
    """Of many draws none lies below the table's delay, none above it by more than a tenth, and they differ."""
    rows = database.execute(
        "SELECT retry_delay_ms(%s::error_category, 1, 3) AS ms FROM generate_series(1, 500)", (category,)
    )
    drawn = [row["ms"] for row in rows]
    wanted = DELAYS[category][0]
    assert wanted <= min(drawn)
    assert max(drawn) <= wanted * 1.1
    assert max(drawn) - min(drawn) > wanted * 0.05


@pytest.mark.parametrize(
    ("retry_after", "low"),
    [(None, 5000), (-1, 5000), (0, 5000), (4999, 5000), (60_000, 60_000), (86_400_000, 86_400_000)],
)
def test_retry_after_is_a_floor(database: Database, retry_after: int | None, low: int) -> None:
    """A hint of the provider lengthens a delay, beyond the cap too, and never shortens it."""
    got = delay(database, "rate_limit", 1, retry_after=retry_after)
    assert got is not None
    assert low <= got <= low * 1.1


def test_a_hint_of_a_thousand_years_fits(database: Database) -> None:
    """The largest hint there is does not overflow, and a hint makes nothing retryable that is not."""
    assert 2**31 - 1 == delay(database, "rate_limit", 1, retry_after=2**31 - 1)
    assert delay(database, "permission", 1, retry_after=60_000) is None
    assert delay(database, "rate_limit", 3, retry_after=60_000) is None


def test_nothing_known_is_no_retry(database: Database) -> None:
    """Without a number of attempts, or without a category, nothing is tried again."""
    rows = database.execute(
        "SELECT retry_delay_ms(NULL, 1, 3) AS a, retry_delay_ms('network', NULL, 3) AS b,"
        " retry_delay_ms('network', 1, NULL) AS c, should_retry_chunk_enhanced(NULL, NULL, 3, 'network') AS d"
    )
    assert [{"a": None, "b": None, "c": None, "d": False}] == rows


def test_a_tenants_own_rule_is_that_tenants_alone(database: Database) -> None:
    """A row with a tenant replaces the rule for everybody, for that tenant; the others keep theirs."""
    one, other = make_tenant(database, "one"), make_tenant(database, "other")
    own_rule(database, one, "permission")
    own_rule(database, one, "network", kind="none", delays_ms=None, attempts_limit=None, retryable=False)
    got = delay(database, "permission", 4, tenant=one)
    assert got is not None
    assert 7000 <= got <= 7700
    assert delay(database, "permission", 5, tenant=one) is None
    assert delay(database, "network", 1, tenant=one) is None
    for tenant in (other, None):
        assert delay(database, "permission", 1, tenant=tenant) is None
        assert delay(database, "network", 1, tenant=tenant) is not None


def test_a_tenants_own_rule_holds_for_its_chunks(database: Database) -> None:
    """should_retry_chunk_enhanced finds the tenant by the chunk's public id; fail_plan by the job."""
    ours, theirs = (
        make_job(database, make_mailbox(database, name, tenant=name), chunks=1) for name in ("ours", "theirs")
    )
    own_rule(database, ours.mailbox.tenant_id, "permission")
    assert [True, False] == [should_retry(database, public_id(database, job), "permission") for job in (ours, theirs)]
    assert ["requested", "failed"] == [fail_plan(database, job, "permission") for job in (ours, theirs)]


def fail_plan(database: Database, job: PlannedJob, category: str) -> str:
    """Plan the job once more and fail; what becomes of it."""
    database.execute("UPDATE sync_jobs SET status = 'requested', plan_attempts = 0 WHERE id = %s", (job.id,))
    worker = open_worker(database)
    database.execute("SELECT claim_plan(%s, %s)", (job.id, worker))
    rows = database.execute(
        "SELECT status::text FROM fail_plan(%s, %s, %s::error_category, 'broke')", (job.id, worker, category)
    )
    return rows[0]["status"]


def public_id(database: Database, job: PlannedJob) -> str:
    """The public id of a job's first chunk."""
    rows = database.execute("SELECT public_id FROM sync_chunks WHERE id = %s", (job.chunk_ids[0],))
    return str(rows[0]["public_id"])


def should_retry(database: Database, chunk: str | None, category: str | None, attempts: int = 1) -> bool:
    """Ask the seeds' function by the names of its parameters."""
    return database.execute(
        "SELECT should_retry_chunk_enhanced(p_chunk_job_id => %s, p_attempts => %s, p_max_attempts => 3,"
        " p_error_category => %s, p_chunk_index => 7) AS retry",
        (chunk, attempts, category),
    )[0]["retry"]


@pytest.mark.parametrize("category", ["gibberish", "", "NETWORK", None])
def test_b13_an_unknown_category_counts_as_unknown(database: Database, category: str | None) -> None:
    """Any text is answered, with the rule for unknown errors: retried while attempts are left."""
    assert [True, True, False] == [should_retry(database, None, category, attempts) for attempts in (1, 2, 3)]


def test_b13_an_unknown_chunk_is_answered_too(database: Database) -> None:
    """Of a chunk that is not there the rule for everybody is told."""
    nobody = "00000000-0000-7000-8000-000000000000"
    assert [True, False] == [should_retry(database, nobody, name) for name in ("network", "permission")]


@pytest.mark.parametrize("status", ["error", "timeout"])
def test_six_errors_are_stress_and_five_are_not(database: Database, status: str) -> None:
    """With more than five errors behind it a second attempt is the last; a first one is still tried again."""
    tenant = make_tenant(database, "one")
    fail_often(database, 5, tenant=tenant, status=status)
    assert delay(database, "network", 2, tenant=tenant, provider=HOST) is not None
    fail_often(database, 1, tenant=tenant, status=status)
    assert delay(database, "network", 2, tenant=tenant, provider=HOST) is None
    assert delay(database, "network", 1, tenant=tenant, provider=HOST) is not None


def test_b18_stress_is_one_tenants_at_one_provider_in_one_category(database: Database) -> None:
    """A tenant's outage changes nothing for another tenant, another provider, or another category."""
    tenant, other = make_tenant(database, "one"), make_tenant(database, "other")
    fail_often(database, 100, tenant=tenant)
    assert [None] == [delay(database, "network", 2, tenant=tenant, provider=HOST)]
    elsewhere = [
        delay(database, "network", 2, tenant=other, provider=HOST),
        delay(database, "network", 2, tenant=tenant, provider="imap:elsewhere.example.org"),
        delay(database, "network", 2, tenant=tenant),
        delay(database, "network", 2, provider=HOST),
        delay(database, "temporary", 2, tenant=tenant, provider=HOST),
    ]
    assert None not in elsewhere


def test_b18_stress_reaches_a_chunk_by_its_id(database: Database) -> None:
    """A chunk's own tenant and provider decide, as the attempts of the engine recorded them."""
    boxes = [
        add_mailbox(database, name=name, address=f"imap://me@{host}/", provider="imap", credential=None, tenant=name)
        for name, host in (("one", "mail.example.org"), ("other", "mail.example.org"))
    ]
    ours, theirs = (make_job(database, box, chunks=1) for box in boxes)
    for _ in range(6):
        database.execute(
            "SELECT log_chunk_health_metrics(%s, p_status => 'error', p_error_category => 'network')",
            (public_id(database, ours),),
        )
    answers = [should_retry(database, public_id(database, job), "network", 2) for job in (ours, theirs)]
    assert [False, True] == answers


def test_b18_the_engines_own_failures_are_stress(database: Database) -> None:
    """After six failures at a host, a chunk that fails for the second time there is a dead letter."""
    set_clock(database, NOON)
    job = make_job(database, make_mailbox(database, limit=10), chunks=8)
    worker = open_worker(database)
    for chunk in claim(database, job, worker, limit=8):
        if chunk.chunk_index % 4 == 3:  # not all in a row, or the mailbox would be given a pause
            complete(database, chunk)
        else:
            assert "pending" == fail(database, chunk)
    move_clock(database, "10 s")
    assert "failed" == fail(database, claim(database, job, worker)[0])


def fail(database: Database, chunk: ClaimedChunk) -> str:
    """Report a failure of the network; the chunk's status after it."""
    return database.execute(
        "SELECT chunk_status::text AS status FROM fail_chunk(%s, %s, 'network', 'reset')",
        (chunk.chunk_id, chunk.lease_token),
    )[0]["status"]


def test_stress_ends_after_a_quarter_of_an_hour(database: Database) -> None:
    """The same errors count 14 minutes later and no more after 15."""
    set_clock(database, NOON)
    tenant = make_tenant(database, "one")
    fail_often(database, 6, tenant=tenant)
    move_clock(database, "14 min 59 s")
    assert delay(database, "network", 2, tenant=tenant, provider=HOST) is None
    move_clock(database, "1 s")
    assert delay(database, "network", 2, tenant=tenant, provider=HOST) is not None


def test_lost_leases_are_no_stress_of_a_provider(database: Database) -> None:
    """A killed run that held many chunks does not make timeouts of the mail server final."""
    tenant = make_tenant(database, "one")
    fail_often(database, 50, tenant=tenant, category="timeout", status="recovery")
    assert delay(database, "timeout", 2, tenant=tenant, provider=HOST) is not None


def test_stress_reads_six_rows_of_a_hundred_thousand(database: Database) -> None:
    """Whether a provider is in trouble costs six rows by the index, however many errors there are."""
    tenant = make_tenant(database, "one")
    fail_often(database, 20_000, tenant=tenant, provider="imap:elsewhere.example.org")
    fail_often(database, 20_000, tenant=tenant)
    database.execute("ANALYZE chunked_sync_health_monitoring")
    with database.transaction() as conn:
        assert conn.execute("SELECT under_stress(%s, %s, 'network') AS yes", (tenant, HOST)).fetchone() == {"yes": True}
        read = conn.execute(
            "SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_xact_user_tables"
            " WHERE relname = 'chunked_sync_health_monitoring'"
        ).fetchone()
    assert {"seq_tup_read": 0, "idx_tup_fetch": 6} == read


def test_successes_pay_nothing_for_the_index_of_errors(database: Database) -> None:
    """A thousand successful attempts leave the index of errors as empty as it was."""
    before = _index_size(database)
    database.execute(
        "INSERT INTO chunked_sync_health_monitoring (tenant_id, mailbox_id, provider, attempt_number, status,"
        " processing_time_ms) SELECT 1, 1, %s, 1, 'success', 5 FROM generate_series(1, 1000)",
        (HOST,),
    )
    assert before == _index_size(database)
    fail_often(database, 1000, tenant=1)
    assert before < _index_size(database)


def _index_size(database: Database) -> int:
    return database.execute("SELECT pg_relation_size('chunked_sync_health_monitoring_errors') AS bytes")[0]["bytes"]


def test_there_is_one_rule_a_category_and_tenant(database: Database) -> None:
    """Every category has a rule for everybody; a second one, or a second one of a tenant, is refused."""
    rows = database.execute("SELECT category::text FROM retry_policies WHERE tenant_id IS NULL")
    assert sorted(CATEGORIES) == sorted(row["category"] for row in rows)
    tenant = make_tenant(database, "one")
    own_rule(database, tenant, "network")
    with pytest.raises(psycopg.errors.UniqueViolation):
        own_rule(database, tenant, "network")
    with pytest.raises(psycopg.errors.UniqueViolation):
        database.execute("INSERT INTO retry_policies (category, kind, delays_ms) VALUES ('network', 'schedule', '{1}')")


@pytest.mark.parametrize(
    "columns",
    [
        "kind = 'none'",  # a retry without a wait
        "kind = 'none', retryable = false",  # numbers that nobody reads
        "factor = NULL",
        "factor = 0.5",
        "base_ms = 0",
        "base_ms = NULL",
        "base_ms = 9000",  # above the cap
        "max_delay_ms = NULL",
        "max_delay_ms = 86400001",
        "kind = 'linear'",  # has a factor
        "kind = 'linear', factor = NULL, base_ms = NULL",
        "kind = 'schedule'",
        "kind = 'schedule', base_ms = NULL, factor = NULL, max_delay_ms = NULL",
        "kind = 'schedule', base_ms = NULL, factor = NULL, max_delay_ms = NULL, delays_ms = '{}'",
        "kind = 'schedule', base_ms = NULL, factor = NULL, max_delay_ms = NULL, delays_ms = '{1,NULL}'",
        "kind = 'schedule', base_ms = NULL, factor = NULL, max_delay_ms = NULL, delays_ms = '{-1}'",
        "kind = 'schedule', base_ms = NULL, factor = NULL, max_delay_ms = NULL, delays_ms = '{86400001}'",
        "kind = 'schedule', base_ms = NULL, factor = NULL, max_delay_ms = NULL, delays_ms = '[0:1]={1,2}'",
        "kind = 'schedule', base_ms = NULL, factor = NULL, max_delay_ms = NULL, delays_ms = '{{1},{2}}'",
        "delays_ms = '{1}'",
        "attempts_limit = 0",
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(database: Database, columns: str) -> None:
    """A rule has all the numbers of its kind, no others, and all in range."""
    with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.FeatureNotSupported)):
        database.execute(f"UPDATE retry_policies SET {columns} WHERE category = 'network'")


@pytest.fixture
def released_database(empty_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database at the first released schema."""
    (tmp_path / "sql" / "migrations").mkdir(parents=True)
    (tmp_path / "sql" / "base").symlink_to(sql_folder() / "base")
    foundation = sql_folder() / "migrations" / "0001_foundation.sql"
    (tmp_path / "sql" / "migrations" / foundation.name).symlink_to(foundation)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "sql_folder", lambda: tmp_path / "sql")
        migrations.migrate(empty_database)
    return empty_database


def test_b44_an_operators_rules_survive_the_migration(released_database: Database, database: Database) -> None:
    """Rules as they were shipped get their new form; a rule that was changed keeps its delays and its limit."""
    released_database.execute(
        "UPDATE retry_policies SET delays_ms = '{100,200}', attempts_limit = 7 WHERE category = 'network'"
    )
    released_database.execute("UPDATE retry_policies SET attempts_limit = 0 WHERE category = 'unknown'")
    released_database.execute(
        "UPDATE retry_policies SET delays_ms = '{9}', attempts_limit = 1 WHERE category = 'not_found'"
    )
    migrations.migrate(released_database)
    migrated, fresh = _rules(released_database), _rules(database)
    changed = ("schedule", None, None, None)
    assert {
        "network": (True, *changed, [100, 200], 7),
        "unknown": (False, *changed, [1000, 2000, 4000], 0),
        "not_found": (True, *changed, [9], 1),
    } == {category: rule for category, rule in migrated.items() if rule != fresh[category]}
    assert "exponential" == fresh["network"][1]


def _rules(database: Database) -> dict[str, tuple[object, ...]]:
    rows: list[Row] = database.execute(
        "SELECT category::text, retryable, kind::text, base_ms, factor, max_delay_ms, delays_ms, attempts_limit"
        " FROM retry_policies"
    )
    return {row.pop("category"): tuple(row.values()) for row in rows}
