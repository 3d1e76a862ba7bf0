-- The tables of chunk_sync: who (tenants, mailboxes, folders), what was asked for (sync_jobs), how it is cut
-- (sync_chunks: wide and cold, chunk_processing_queue: narrow and hot), who works (workers, dispatches), what
-- landed (messages and their parts), what happened (attempts, audit_log).
-- bigint keys inside, UUIDv7 as the ids that people see. Functions and views live in files of their own.

CREATE TYPE chunk_status AS ENUM ('pending', 'processing', 'completed', 'failed', 'cancelled');
CREATE TYPE sync_job_status AS ENUM ('requested', 'planning', 'processing', 'completed', 'failed', 'cancelled');
CREATE TYPE sync_type AS ENUM ('initial', 'incremental', 'manual');
CREATE TYPE attempt_status AS ENUM ('success', 'error', 'timeout', 'recovery');
CREATE TYPE error_category AS ENUM (
    'timeout', 'rate_limit', 'network', 'temporary', 'auth', 'permission', 'not_found', 'data_conflict',
    'processing_error', 'unknown'
);

CREATE TABLE tenants (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id uuid NOT NULL UNIQUE DEFAULT new_uuid(),
    name text NOT NULL UNIQUE CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT clock()
);
INSERT INTO tenants (name) VALUES ('default');

CREATE TABLE mailboxes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id uuid NOT NULL UNIQUE DEFAULT new_uuid(),
    tenant_id bigint NOT NULL REFERENCES tenants,
    name text NOT NULL CHECK (name <> ''),
    address text NOT NULL,                       -- a URL, never with a password
    provider text NOT NULL,                      -- imap, maildir, mbox
    credential text,                             -- env:NAME, file:PATH or sealed:TOKEN
    folders text [],                             -- only these paths; NULL: all
    created_at timestamptz NOT NULL DEFAULT clock(),
    UNIQUE (tenant_id, name),
    CHECK (credential ~ '^(env|file|sealed):.')
);

-- A lane is the mailbox as the queue sees it: the row that a claim locks, so that its limit is exact.
CREATE TABLE mailbox_lanes (
    mailbox_id bigint PRIMARY KEY REFERENCES mailboxes ON DELETE CASCADE,
    tenant_id bigint NOT NULL REFERENCES tenants,
    connection_limit smallint NOT NULL DEFAULT 4 CHECK (connection_limit BETWEEN 1 AND 100),
    not_before timestamptz NOT NULL DEFAULT 'epoch',  -- throttled or backing off until then
    claimed_total bigint NOT NULL DEFAULT 0               -- virtual time: the least served mailbox comes first
) WITH (fillfactor = 50);

CREATE TABLE folders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    mailbox_id bigint NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
    key text NOT NULL,                           -- the source's own name
    path text NOT NULL,                          -- readable, "/" between levels
    role text,                                   -- inbox, sent, drafts, trash, junk, archive, all, flagged
    uidvalidity bigint NOT NULL,
    synced_uid bigint NOT NULL DEFAULT 0,        -- the cursor: all UIDs up to here have landed
    next_uid bigint NOT NULL DEFAULT 1,          -- numbers messages of sources without UIDs
    message_count bigint NOT NULL DEFAULT 0,     -- at the last snapshot
    snapshot_at timestamptz NOT NULL DEFAULT clock(),
    UNIQUE (mailbox_id, key)
);

CREATE TABLE workers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    run_id text,                                 -- the Dagster run that it is, if any
    started_at timestamptz NOT NULL DEFAULT clock(),
    heartbeat_at timestamptz NOT NULL DEFAULT clock(),
    lease_until timestamptz NOT NULL,
    ended_at timestamptz
) WITH (fillfactor = 50);                        -- no index on what a heartbeat changes: it stays HOT
CREATE INDEX workers_name ON workers (name) WHERE ended_at IS NULL;
CREATE INDEX workers_run ON workers (run_id) WHERE ended_at IS NULL;

CREATE TABLE sync_jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id uuid NOT NULL UNIQUE DEFAULT new_uuid(),
    tenant_id bigint NOT NULL REFERENCES tenants,
    mailbox_id bigint NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
    sync_type sync_type NOT NULL DEFAULT 'initial',
    priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 30),
    sync_from timestamptz,                       -- half-open range of received_at: [sync_from, sync_to)
    sync_to timestamptz,
    status sync_job_status NOT NULL DEFAULT 'requested',
    plan_attempts smallint NOT NULL DEFAULT 0,
    plan_available_at timestamptz NOT NULL DEFAULT clock(),
    plan_worker_id bigint REFERENCES workers,
    plan_dispatched_until timestamptz NOT NULL DEFAULT 'epoch',
    total_chunks integer NOT NULL DEFAULT 0 CHECK (total_chunks >= 0),
    completed_chunks integer NOT NULL DEFAULT 0 CHECK (completed_chunks >= 0),
    failed_chunks integer NOT NULL DEFAULT 0 CHECK (failed_chunks >= 0),
    cancelled_chunks integer NOT NULL DEFAULT 0 CHECK (cancelled_chunks >= 0),
    emails_estimated bigint NOT NULL DEFAULT 0,
    emails_processed bigint NOT NULL DEFAULT 0,
    bytes_estimated bigint NOT NULL DEFAULT 0,
    bytes_processed bigint NOT NULL DEFAULT 0,
    error_category error_category,
    error_message text,
    requested_by text NOT NULL DEFAULT current_user,
    created_at timestamptz NOT NULL DEFAULT clock(),
    started_at timestamptz,
    last_completed_at timestamptz,               -- of its last completed chunk
    completed_at timestamptz,
    keys_registered_at timestamptz,              -- Dagster knows the partition keys
    CHECK (completed_chunks + failed_chunks + cancelled_chunks <= total_chunks),
    CHECK (sync_from IS NULL OR sync_to IS NULL OR sync_from < sync_to)
) WITH (fillfactor = 80);
CREATE INDEX sync_jobs_mailbox ON sync_jobs (mailbox_id, id);
CREATE INDEX sync_jobs_open ON sync_jobs (id) WHERE status IN ('requested', 'planning', 'processing');

CREATE TABLE sync_job_folders (                  -- the frozen snapshot behind a job, a row per folder
    sync_job_id bigint NOT NULL REFERENCES sync_jobs ON DELETE CASCADE,
    folder_id bigint NOT NULL REFERENCES folders ON DELETE CASCADE,
    tenant_id bigint NOT NULL REFERENCES tenants,
    uidvalidity bigint NOT NULL,
    synced_uid bigint NOT NULL,                  -- the cursor once the job is complete
    message_count bigint NOT NULL,               -- in the folder
    planned_messages bigint NOT NULL,            -- of those, planned by this job
    planned_bytes bigint NOT NULL,
    PRIMARY KEY (sync_job_id, folder_id)
);

CREATE TABLE sync_chunks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id uuid NOT NULL UNIQUE DEFAULT new_uuid(),
    tenant_id bigint NOT NULL REFERENCES tenants,
    mailbox_id bigint NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
    sync_job_id bigint NOT NULL REFERENCES sync_jobs ON DELETE CASCADE,
    chunk_index integer NOT NULL CHECK (chunk_index >= 0),
    folder_id bigint NOT NULL REFERENCES folders ON DELETE CASCADE,
    uidvalidity bigint NOT NULL,
    uids text NOT NULL,                          -- the span, as IMAP writes sets: 1:40,45
    provider_ids text [],                        -- in the order of uids, for sources that name messages so
    start_offset bigint NOT NULL,                -- reporting only: messages of the job before this chunk
    end_offset bigint NOT NULL,
    estimated_emails integer NOT NULL,
    estimated_bytes bigint NOT NULL,
    emails_inserted integer NOT NULL DEFAULT 0,
    emails_unchanged integer NOT NULL DEFAULT 0, -- were here already
    emails_absent integer NOT NULL DEFAULT 0,    -- gone from the mailbox since the plan
    emails_quarantined integer NOT NULL DEFAULT 0,
    bytes_processed bigint NOT NULL DEFAULT 0,
    reported_at timestamptz,                     -- Dagster was told of the completion
    created_at timestamptz NOT NULL DEFAULT clock(),
    UNIQUE (sync_job_id, chunk_index)
);

-- One row a chunk and the only place where a chunk's status lives. `attempts` counts executions started;
-- `lease_token` is the fencing token: it grows with every claim and is never reset.
CREATE TABLE chunk_processing_queue (
    chunk_id bigint PRIMARY KEY REFERENCES sync_chunks ON DELETE CASCADE,
    lease_token bigint NOT NULL DEFAULT 0,
    available_at timestamptz NOT NULL DEFAULT clock(),
    created_at timestamptz NOT NULL DEFAULT clock(),
    started_at timestamptz,
    completed_at timestamptz,
    tenant_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    sync_job_id bigint NOT NULL REFERENCES sync_jobs ON DELETE CASCADE,
    worker_id bigint REFERENCES workers,
    queue_id uuid NOT NULL,                      -- the chunk's public id
    chunk_index integer NOT NULL,
    status chunk_status NOT NULL DEFAULT 'pending',
    priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 30),
    attempts smallint NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    max_attempts smallint NOT NULL DEFAULT 3 CHECK (max_attempts >= 1),
    lost_leases smallint NOT NULL DEFAULT 0,
    error_category error_category,               -- of the last failed attempt
    CONSTRAINT pending_has_attempts_left CHECK (status <> 'pending' OR attempts < max_attempts),
    CONSTRAINT processing_has_a_worker CHECK ((status = 'processing') = (worker_id IS NOT NULL)),
    CONSTRAINT ended_has_a_time CHECK ((status IN ('completed', 'failed', 'cancelled')) = (completed_at IS NOT NULL))
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX chunk_processing_queue_due ON chunk_processing_queue
(mailbox_id, priority DESC, available_at, sync_job_id, chunk_index) WHERE status = 'pending';
CREATE INDEX chunk_processing_queue_running ON chunk_processing_queue (mailbox_id) WHERE status = 'processing';
CREATE INDEX chunk_processing_queue_job ON chunk_processing_queue (sync_job_id, chunk_index);

-- A dispatch says that a run was asked for over a range of a job's chunks. It lives until it expires, or as
-- long as the worker that took it: no mark has to be written on the hot rows.
CREATE TABLE dispatches (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    sync_job_id bigint NOT NULL REFERENCES sync_jobs ON DELETE CASCADE,
    first_index integer NOT NULL,
    last_index integer NOT NULL,
    expires_at timestamptz NOT NULL,
    worker_id bigint REFERENCES workers,
    created_at timestamptz NOT NULL DEFAULT clock(),
    ended_at timestamptz,
    CHECK (first_index <= last_index)
);
CREATE INDEX dispatches_live ON dispatches (sync_job_id, first_index) WHERE ended_at IS NULL;

-- delays_ms[n] is the delay after attempt n, the last one repeats; attempts_limit NULL means: up to the
-- chunk's own max_attempts. Rules are rows: SQL, Python and the UI read these.
CREATE TABLE retry_policies (
    category error_category PRIMARY KEY,
    delays_ms integer [] NOT NULL,
    attempts_limit smallint,
    CHECK (attempts_limit = 0 OR cardinality(delays_ms) > 0)
);
INSERT INTO retry_policies (category, delays_ms, attempts_limit) VALUES
('rate_limit', '{5000,15000,45000}', 2),
('network', '{2000,4000,8000}', 3),
('temporary', '{2000,4000,8000}', 3),
('timeout', '{3000,6000,9000}', 3),
('auth', '{2000,5000}', 1),
('processing_error', '{1000,2000,4000}', NULL),
('unknown', '{1000,2000,4000}', NULL),
('permission', '{}', 0),
('not_found', '{}', 0),
('data_conflict', '{}', 0);

-- A row per attempt, never per decision.
CREATE TABLE chunked_sync_health_monitoring (
    id uuid PRIMARY KEY DEFAULT new_uuid(),
    chunk_job_id uuid,                           -- the chunk's public id
    queue_id uuid,
    tenant_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    sync_job_id bigint,
    chunk_id bigint,
    lease_token bigint,
    worker_id text,
    attempt_number smallint NOT NULL,
    status attempt_status NOT NULL,
    processing_time_ms integer NOT NULL,
    chunk_size integer NOT NULL DEFAULT 0,
    emails_processed integer NOT NULL DEFAULT 0,
    efficiency_ratio numeric(12, 2),             -- emails saved per second; NULL at 0 ms
    error_category error_category,
    error_code text,
    error_message text,
    suggested_retry_delay_ms integer,
    memory_usage bigint,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock()
);
CREATE INDEX chunked_sync_health_monitoring_time ON chunked_sync_health_monitoring USING brin (created_at);
CREATE INDEX chunked_sync_health_monitoring_chunk ON chunked_sync_health_monitoring (chunk_id);

CREATE TABLE messages (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants,
    mailbox_id bigint NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
    raw_sha256 bytea NOT NULL CHECK (octet_length(raw_sha256) = 32),
    size integer NOT NULL,
    message_id text,                             -- the header; an index, never a key
    in_reply_to text,
    reference_ids text [] NOT NULL DEFAULT '{}',
    subject text NOT NULL DEFAULT '',
    from_name text,
    from_address text,
    to_addresses jsonb NOT NULL DEFAULT '[]',    -- [{name, address}]
    cc_addresses jsonb NOT NULL DEFAULT '[]',
    bcc_addresses jsonb NOT NULL DEFAULT '[]',
    direction text NOT NULL DEFAULT 'incoming' CHECK (direction IN ('incoming', 'outgoing')),
    sent_at timestamptz,
    received_at timestamptz,
    snippet text NOT NULL DEFAULT '',
    has_attachments boolean NOT NULL DEFAULT false,
    parse_status text NOT NULL CHECK (parse_status IN ('ok', 'defective', 'unparsable')),
    defects text [] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock(),
    UNIQUE (mailbox_id, raw_sha256)              -- the same bytes in two folders are one message
);
CREATE INDEX messages_header ON messages USING hash (message_id);
CREATE INDEX messages_received ON messages (mailbox_id, received_at);

CREATE TABLE message_bodies (
    message_id bigint PRIMARY KEY REFERENCES messages ON DELETE CASCADE,
    tenant_id bigint NOT NULL,
    headers jsonb NOT NULL DEFAULT '[]',         -- [[name, value]] in their order
    body_text text,
    body_html text
);
DO $$                                            -- pglz costs five times as much; not every server is built with lz4
BEGIN
    IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        ALTER TABLE message_bodies
            ALTER COLUMN headers SET COMPRESSION lz4,
            ALTER COLUMN body_text SET COMPRESSION lz4,
            ALTER COLUMN body_html SET COMPRESSION lz4;
    END IF;
END $$;

CREATE TABLE message_raw (                       -- the exact bytes, compressed by us: identical ones once a tenant
    tenant_id bigint NOT NULL REFERENCES tenants,
    sha256 bytea NOT NULL,
    codec text NOT NULL CHECK (codec IN ('zstd', 'none')),
    size integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
);
ALTER TABLE message_raw ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE message_locations (                 -- membership: where a mailbox holds a message; the key of dedupe
    folder_id bigint NOT NULL REFERENCES folders ON DELETE CASCADE,
    uidvalidity bigint NOT NULL,
    uid bigint NOT NULL,
    tenant_id bigint NOT NULL,
    message_id bigint NOT NULL REFERENCES messages ON DELETE CASCADE,
    provider_id text,
    flags text [] NOT NULL DEFAULT '{}',
    received_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock(),
    PRIMARY KEY (folder_id, uidvalidity, uid)
);
CREATE UNIQUE INDEX message_locations_provider_id ON message_locations (folder_id, uidvalidity, provider_id)
WHERE provider_id IS NOT NULL;
CREATE INDEX message_locations_message ON message_locations (message_id);

CREATE TABLE attachments (                       -- metadata; the content is cut from the raw message on demand
    message_id bigint NOT NULL REFERENCES messages ON DELETE CASCADE,
    part text NOT NULL,
    tenant_id bigint NOT NULL,
    filename text,
    content_type text NOT NULL,
    content_id text,
    size integer NOT NULL,
    sha256 bytea NOT NULL,
    is_inline boolean NOT NULL DEFAULT false,
    PRIMARY KEY (message_id, part)
);

CREATE TABLE quarantined_messages (              -- seen, not stored: counted, listed, never silent
    folder_id bigint NOT NULL REFERENCES folders ON DELETE CASCADE,
    uidvalidity bigint NOT NULL,
    uid bigint NOT NULL,
    tenant_id bigint NOT NULL,
    provider_id text,
    size bigint NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock(),
    PRIMARY KEY (folder_id, uidvalidity, uid)
);

CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock(),
    actor text NOT NULL DEFAULT current_user,
    action text NOT NULL,                        -- stuck_chunk_reset, chunk_reopened, plan_reset, ...
    tenant_id bigint,
    sync_job_id bigint,
    chunks_affected integer NOT NULL DEFAULT 0,
    reason text,
    run_id text,
    details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_job ON audit_log (sync_job_id) WHERE sync_job_id IS NOT NULL;
