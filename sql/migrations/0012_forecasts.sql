-- When syncs will be over, kept so that it can be held against what came, and how many runs are wanted.
-- See docs/decisions/0018.

-- squawk-ignore-file require-concurrent-index-creation, adding-not-nullable-field

-- An open job as the forecaster saw it last. It goes when the job has ended and its forecasts are scored.
CREATE TABLE progress_marks (
    sync_job_id bigint PRIMARY KEY REFERENCES sync_jobs ON DELETE CASCADE,
    tenant_id bigint NOT NULL,
    begun_at timestamptz NOT NULL,
    sampled_at timestamptz NOT NULL,
    turned_away_until timestamptz NOT NULL,      -- the last pause that was counted
    pauses integer NOT NULL DEFAULT 0,           -- by the provider or for its failures, not those that people order
    pause_seconds double precision NOT NULL DEFAULT 0,  -- to the end of the one that may be on
    forecast_at timestamptz,
    forecast_landed bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- How far open jobs were, further apart the older a job is.
CREATE TABLE progress_samples (
    sync_job_id bigint NOT NULL REFERENCES sync_jobs ON DELETE CASCADE,
    tenant_id bigint NOT NULL,
    at timestamptz NOT NULL,
    landed bigint NOT NULL,
    planned bigint NOT NULL,                     -- without what failed for good or was cancelled
    landed_bytes bigint NOT NULL,
    planned_bytes bigint NOT NULL,
    ended_chunks integer NOT NULL,
    chunks integer NOT NULL,
    running integer NOT NULL,
    not_before timestamptz NOT NULL,
    pauses integer NOT NULL,
    pause_seconds double precision NOT NULL,
    paused boolean NOT NULL,
    PRIMARY KEY (sync_job_id, at)
);

-- Every forecast, and what came of it. A mailbox's and the backlog's (tenant NULL: everybody's) speak of all jobs that
-- were open, up to sync_job_id, the newest of them.
CREATE TABLE forecasts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    made_at timestamptz NOT NULL DEFAULT clock(),
    kind text NOT NULL CHECK (kind IN ('job', 'mailbox', 'backlog')),
    tenant_id bigint REFERENCES tenants ON DELETE CASCADE,
    mailbox_id bigint,
    sync_job_id bigint NOT NULL,
    landed bigint NOT NULL,
    planned bigint NOT NULL,
    low_at timestamptz NOT NULL,
    expected_at timestamptz NOT NULL,
    high_at timestamptz NOT NULL,
    rate double precision NOT NULL,              -- messages a second until then, pauses in it
    spread double precision NOT NULL,            -- of the logarithm of the remaining time, before it was scaled
    model text NOT NULL,
    why text NOT NULL,
    ended_at timestamptz,
    error double precision,                      -- (foreseen - real) / real remaining time; NULL: nothing to judge
    inside boolean,                              -- ended within the range
    scored_at timestamptz,
    CHECK (low_at <= expected_at AND expected_at <= high_at),
    CHECK ((kind = 'backlog') = (tenant_id IS NULL) AND (kind = 'backlog') = (mailbox_id IS NULL))
);
CREATE INDEX forecasts_newest ON forecasts (sync_job_id, kind, id);
CREATE INDEX forecasts_scored ON forecasts (scored_at) WHERE scored_at IS NOT NULL;
CREATE INDEX forecasts_open ON forecasts (kind) WHERE scored_at IS NULL AND kind <> 'job';
CREATE INDEX forecasts_time ON forecasts USING brin (made_at);

INSERT INTO retention_policies (what, keep) VALUES
('forecasts', '90 days');                        -- after they were made

-- How many runs are wanted: enough that what is due is done within a while, unless a promise to a tenant needs more.
ALTER TABLE queue_rules
ADD COLUMN drain_within interval NOT NULL DEFAULT '5 s' CHECK (drain_within >= '1 s'),
ADD COLUMN fewest_runs smallint NOT NULL DEFAULT 0 CHECK (fewest_runs >= 0),
ADD COLUMN fewer_after interval NOT NULL DEFAULT '2 min' CHECK (fewer_after >= '0 s'),  -- so long fewer were enough
ADD COLUMN look_ahead interval NOT NULL DEFAULT '1 min' CHECK (look_ahead >= '0 s');    -- due by then counts as due

-- The dispatcher's last answer, one row. Read it as the view scaling_wanted.
CREATE TABLE scaling_state (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    wanted_runs integer NOT NULL,                -- within the ceiling
    useful_runs integer NOT NULL,                -- that would find work, whatever the ceiling
    running integer NOT NULL,
    due_chunks bigint NOT NULL,
    backlog_seconds double precision NOT NULL,   -- of one run
    reason text NOT NULL,
    fewer_since timestamptz,
    fewer_peak integer NOT NULL DEFAULT 0,
    decided_at timestamptz NOT NULL
) WITH (fillfactor = 50);
