-- Rules as rows: when an attempt is made again and after how long, what is alarming, how long what is kept. The
-- functions read them at every call: a row that is changed holds from then on.

-- The old table is made anew under its name in the same transaction; the old code reads it through a function only.
-- squawk-ignore-file require-concurrent-index-creation, renaming-table, renaming-object
-- squawk-ignore-file ban-drop-table, ban-drop-function

CREATE TYPE backoff_kind AS ENUM ('exponential', 'linear', 'schedule', 'none');

ALTER TABLE retry_policies RENAME TO released_policies;
ALTER TABLE released_policies RENAME CONSTRAINT retry_policies_pkey TO released_policies_pkey;
-- A category's rule for everybody, and a tenant's own instead of it. The delay after attempt n: base_ms * factor^(n-1),
-- base_ms * n, or the n-th of delays_ms, whose last one repeats. attempts_limit is the last attempt that is followed by
-- another; without one the chunk's max_attempts alone decides.
CREATE TABLE retry_policies (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint REFERENCES tenants ON DELETE CASCADE,  -- NULL: everybody's
    category error_category NOT NULL,
    retryable boolean NOT NULL DEFAULT true,
    kind backoff_kind NOT NULL,
    base_ms integer CHECK (base_ms BETWEEN 1 AND 86400000),
    factor double precision CHECK (factor BETWEEN 1 AND 100),
    max_delay_ms integer CHECK (max_delay_ms BETWEEN 1 AND 86400000),
    delays_ms integer[] CHECK (
        array_ndims(delays_ms) = 1 AND array_lower(delays_ms, 1) = 1 AND array_position(delays_ms, NULL) IS NULL
        AND 0 <= ALL (delays_ms) AND 86400000 >= ALL (delays_ms)
    ),
    attempts_limit smallint CHECK (attempts_limit >= 0),
    UNIQUE NULLS NOT DISTINCT (tenant_id, category),
    CONSTRAINT a_kind_has_its_numbers CHECK (
        CASE kind
            WHEN 'exponential' THEN num_nulls(base_ms, factor, max_delay_ms) = 0 AND delays_ms IS NULL
            WHEN 'linear' THEN num_nulls(base_ms, max_delay_ms) = 0 AND num_nonnulls(factor, delays_ms) = 0
            WHEN 'schedule' THEN coalesce(cardinality(delays_ms), 0) > 0 AND num_nonnulls(base_ms, factor,
                max_delay_ms) = 0
            ELSE num_nonnulls(base_ms, factor, max_delay_ms, delays_ms) = 0
        END
    ),
    CONSTRAINT the_cap_is_not_below_the_base CHECK (base_ms <= max_delay_ms),
    CONSTRAINT a_retry_has_a_backoff CHECK (NOT retryable OR kind <> 'none' AND attempts_limit IS DISTINCT FROM 0)
);
INSERT INTO retry_policies (category, retryable, kind, base_ms, factor, max_delay_ms, delays_ms, attempts_limit) VALUES
('rate_limit', true, 'exponential', 5000, 3, 45000, NULL, 2),
('network', true, 'exponential', 2000, 2, 8000, NULL, 3),
('temporary', true, 'exponential', 2000, 2, 8000, NULL, 3),
('timeout', true, 'linear', 3000, NULL, 9000, NULL, 3),
('auth', true, 'schedule', NULL, NULL, NULL, '{2000,5000}', 1),
('processing_error', true, 'exponential', 1000, 2, 4000, NULL, NULL),
('unknown', true, 'exponential', 1000, 2, 4000, NULL, NULL),
('permission', false, 'none', NULL, NULL, NULL, NULL, 0),
('not_found', false, 'none', NULL, NULL, NULL, NULL, 0),
('data_conflict', false, 'none', NULL, NULL, NULL, NULL, 0);
-- A rule that an operator had changed stays what it was.
UPDATE retry_policies AS p
SET retryable = r.again, attempts_limit = r.attempts_limit, base_ms = NULL, factor = NULL, max_delay_ms = NULL,
    kind = CASE WHEN r.delays_ms = '{}' THEN 'none' ELSE 'schedule' END::backoff_kind,
    delays_ms = nullif(ARRAY(SELECT least(greatest(coalesce(d.ms, 0), 0), 86400000)
        FROM unnest(r.delays_ms) AS d (ms)), '{}')
FROM (SELECT *, coalesce(attempts_limit, -1) <> 0 AS again FROM released_policies) AS r
WHERE r.category = p.category AND (r.category::text, r.delays_ms, coalesce(r.attempts_limit, -1)) NOT IN (
    ('rate_limit', '{5000,15000,45000}', 2), ('network', '{2000,4000,8000}', 3), ('temporary', '{2000,4000,8000}', 3),
    ('timeout', '{3000,6000,9000}', 3), ('auth', '{2000,5000}', 1), ('processing_error', '{1000,2000,4000}', -1),
    ('unknown', '{1000,2000,4000}', -1), ('permission', '{}', 0), ('not_found', '{}', 0), ('data_conflict', '{}', 0)
);
DROP TABLE released_policies;
DROP FUNCTION IF EXISTS retry_delay_ms(error_category, integer, integer, integer);

-- Whether a provider is in trouble: its errors of one category at one tenant. A success is no row of this index, nor
-- is a lost lease, which says nothing about the provider.
CREATE INDEX chunked_sync_health_monitoring_errors ON chunked_sync_health_monitoring
(tenant_id, error_category, provider, created_at) WHERE error_category IS NOT NULL AND status <> 'recovery';

-- What get_system_health_metrics() warns of: a value above warn_above or critical_above (NULL: never).
CREATE TABLE health_thresholds (
    signal text PRIMARY KEY,
    warn_above double precision,
    critical_above double precision,
    span interval CHECK (span >= '0 s'),         -- what is counted: see each signal
    CHECK (warn_above <= critical_above)
);
INSERT INTO health_thresholds (signal, warn_above, critical_above, span) VALUES
('stuck_chunks', 0, 10, '60 s'),                 -- processing, although the lease ran out longer ago than the span
('oldest_due_seconds', 900, 3600, NULL),         -- how long the longest waiting chunk has been due
('dead_letters', 0, 100, '24 hours'),            -- chunks that failed for good within the span
('no_worker_seconds', NULL, 300, NULL);          -- how long work has been due while no worker is alive

-- How long what is kept; without its row a thing is kept for ever. Open jobs and messages are no matter of retention.
CREATE TABLE retention_policies (
    what text PRIMARY KEY CHECK (what IN (
        'attempts', 'completed_jobs', 'failed_jobs', 'archived_jobs', 'workers', 'dispatches', 'audit_log'
    )),
    keep interval NOT NULL CHECK (keep > '0 s')
);
INSERT INTO retention_policies (what, keep) VALUES
('attempts', '7 days'),
('completed_jobs', '30 days'),                   -- and cancelled ones
('failed_jobs', '7 days'),                       -- after they were archived, which somebody has to do
('archived_jobs', '90 days'),
('workers', '1 day'),                            -- after they ended
('dispatches', '1 day'),                         -- after they ended
('audit_log', '365 days');

-- What is left of a sync job after its rows are gone: its last status row, and why its dead letters failed.
CREATE TABLE archived_sync_jobs (
    sync_job_id bigint PRIMARY KEY,
    public_id uuid NOT NULL UNIQUE,
    tenant_id bigint NOT NULL REFERENCES tenants,
    mailbox_id bigint NOT NULL,
    status jsonb NOT NULL,
    dead_letters jsonb NOT NULL DEFAULT '[]',
    archived_at timestamptz NOT NULL DEFAULT clock(),
    archived_by text NOT NULL,
    reason text
);

-- How retention finds what it deletes, and that nothing refers to it any more.
CREATE INDEX sync_jobs_ended ON sync_jobs (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX sync_jobs_planner ON sync_jobs (plan_worker_id) WHERE plan_worker_id IS NOT NULL;
CREATE INDEX dispatches_worker ON dispatches (worker_id) WHERE worker_id IS NOT NULL;
CREATE INDEX audit_log_time ON audit_log USING brin (at);
