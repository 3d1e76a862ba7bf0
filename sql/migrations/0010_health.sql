-- Health that outlives its attempts: what they cost, their hours, what each look at the system found, and what was
-- promised to tenants. See docs/decisions/0019.

-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion, ban-drop-constraint
-- squawk-ignore-file ban-drop-function

-- It is told the run that it is called by: a call without one is the same as before.
DROP FUNCTION IF EXISTS archive_sync_job(uuid, text, text);

ALTER TABLE chunked_sync_health_monitoring
ADD COLUMN bytes_processed bigint,               -- of the messages that it landed
ADD COLUMN requests integer;                     -- what the provider was asked for; NULL: nobody counted

-- The last minutes are asked for twice a minute. A block range index does not know them before the next vacuum.
DROP INDEX chunked_sync_health_monitoring_time;
CREATE INDEX chunked_sync_health_monitoring_time ON chunked_sync_health_monitoring (created_at);
-- Failed attempts are few, and most questions are about them.
CREATE INDEX chunked_sync_health_monitoring_troubles ON chunked_sync_health_monitoring (created_at)
WHERE status <> 'success';

-- Attempts by the hour in which they ended, written anew while the hour can still grow.
CREATE TABLE attempt_hours (
    hour timestamptz NOT NULL,
    tenant_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    provider text NOT NULL,                      -- imap:HOST, maildir, mbox; '' where nobody knows any more
    status attempt_status NOT NULL,
    error_category error_category,
    attempts integer NOT NULL,
    first_attempts integer NOT NULL,             -- of them those with attempt_number 1
    dead_letters integer NOT NULL,               -- of them those after which the chunk had failed for good
    emails bigint NOT NULL,
    planned_emails bigint NOT NULL,
    bytes bigint NOT NULL,
    requests bigint NOT NULL,
    ms_sum bigint NOT NULL,
    ms_min integer NOT NULL,
    ms_max integer NOT NULL,
    ms_p50 double precision NOT NULL,
    ms_p95 double precision NOT NULL,
    ratio_sum double precision NOT NULL,         -- of efficiency_ratio, where there is one
    ratio_max double precision,
    ratio_count integer NOT NULL,
    UNIQUE NULLS NOT DISTINCT (tenant_id, mailbox_id, hour, provider, status, error_category)
);
CREATE INDEX attempt_hours_hour ON attempt_hours (hour);

-- What the health assets found: their numbers, for trends.
CREATE TABLE health_history (
    asset text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock(),
    tenant_id bigint REFERENCES tenants ON DELETE CASCADE,  -- NULL: the whole system
    numbers jsonb NOT NULL,
    UNIQUE NULLS NOT DISTINCT (asset, tenant_id, at)
);

-- What a tenant was promised; NULL: nothing. A tenant's own row counts instead of everybody's.
CREATE TABLE tenant_slas (
    tenant_id bigint REFERENCES tenants ON DELETE CASCADE,  -- NULL: everybody
    first_sync_within interval CHECK (first_sync_within > '0 s'),  -- from a mailbox's first request to its end
    freshness_within interval CHECK (freshness_within > '0 s'),    -- what has landed is not older than that
    failure_budget double precision CHECK (failure_budget > 0 AND failure_budget < 1),  -- share of chunks, dead letters
    span interval NOT NULL DEFAULT '30 days' CHECK (span >= '1 day'),  -- over which the budget is counted
    UNIQUE NULLS NOT DISTINCT (tenant_id)
);

-- How each promise stood at the last look.
CREATE TABLE sla_states (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    objective text NOT NULL CHECK (objective IN ('first_sync', 'freshness', 'failures')),
    mailbox_id bigint REFERENCES mailboxes ON DELETE CASCADE,  -- NULL: all of the tenant's
    state text NOT NULL CHECK (state IN ('kept', 'at_risk', 'broken')),
    deadline_at timestamptz,
    expected_at timestamptz,                     -- when it will be kept, as far as anybody can tell
    burn_rate double precision,                  -- 1: the budget is used up exactly at the end of its span
    budget_left double precision,                -- share of the budget; below 0: broken
    message text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock(),
    UNIQUE NULLS NOT DISTINCT (tenant_id, objective, mailbox_id)
);

INSERT INTO health_thresholds (signal, warn_above, critical_above, span) VALUES
('failure_share', 0.2, 0.5, '1 hour'),           -- of the attempts that ended within the span, once there are twenty
('standstill_seconds', 600, 1800, NULL),         -- since work is due and no attempt has ended, while nothing forbids it
('forecast_drift', 0.5, NULL, '24 hours'),        -- by how much of the remaining time half of the forecasts were off
('failed_plans', 0, NULL, '1 day'),              -- mailboxes whose last sync failed within it, before its first chunk
('sla_at_risk', 0, NULL, NULL),                  -- promises that will probably be broken
('sla_broken', NULL, 0, NULL);                   -- promises that are

ALTER TABLE retention_policies DROP CONSTRAINT retention_policies_what_check;
ALTER TABLE retention_policies ADD CONSTRAINT retention_policies_what_check CHECK (what IN (
    'attempts', 'completed_jobs', 'failed_jobs', 'archived_jobs', 'workers', 'dispatches', 'audit_log',
    'partition_keys', 'dagster_runs', 'attempt_hours', 'health_history', 'forecasts', 'alerts'
)) NOT VALID;
INSERT INTO retention_policies (what, keep) VALUES
('attempt_hours', '400 days'),
('health_history', '90 days');
