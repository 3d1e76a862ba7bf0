-- Lanes that carry what a claim needs, so that claiming costs the same with a thousand chunks waiting as with a
-- million, and the same while somebody else holds an old snapshot. See docs/decisions/0010.
--
-- Each queue row gets its turn: the moment from which it counts as waiting, a minute earlier for each level of its
-- priority. A lane knows the first turn that may still be waiting (its low-water mark), which of its chunks are
-- running, and how urgent its first chunk is. No index mentions the status, so a claim and a completion are HOT.

-- Indexes cannot be made concurrently inside the one transaction of an upgrade. The old code works on meanwhile, but
-- slower: what it loses are two indexes, a guarantee that its functions give anyway, and a function that only
-- functions call.
-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion, ban-drop-constraint
-- squawk-ignore-file constraint-missing-not-valid, adding-not-nullable-field, ban-drop-function

CREATE TYPE breaker_state AS ENUM ('closed', 'open', 'half_open');
CREATE TYPE sync_scope AS ENUM ('sync_job', 'mailbox', 'tenant');

-- The queue's own numbers, one row.
CREATE TABLE queue_rules (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    lost_leases_limit smallint NOT NULL DEFAULT 3 CHECK (lost_leases_limit > 0),
    -- So many failures in a row open a mailbox's breaker, for a pause that is doubled each time.
    breaker_failures smallint NOT NULL DEFAULT 5 CHECK (breaker_failures > 0),
    breaker_pause interval NOT NULL DEFAULT '30 s' CHECK (breaker_pause > '0 s'),
    breaker_pause_limit interval NOT NULL DEFAULT '15 min',
    -- So many open breakers, of so many tenants, open their provider's.
    provider_open_lanes smallint NOT NULL DEFAULT 5 CHECK (provider_open_lanes > 0),
    provider_open_tenants smallint NOT NULL DEFAULT 3 CHECK (provider_open_tenants > 0)
);
INSERT INTO queue_rules DEFAULT VALUES;

CREATE TABLE tenant_lanes (
    tenant_id bigint PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
    weight smallint NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000),  -- its share beside other tenants
    chunk_limit integer CHECK (chunk_limit >= 0),                          -- running at once; NULL: no limit
    paused_at timestamptz
) WITH (fillfactor = 50);
INSERT INTO tenant_lanes (tenant_id) SELECT id FROM tenants;
CREATE INDEX tenant_lanes_limited ON tenant_lanes (tenant_id) WHERE chunk_limit IS NOT NULL;

CREATE TABLE provider_lanes (
    provider text PRIMARY KEY,                   -- imap:HOST, maildir, mbox
    chunk_limit integer CHECK (chunk_limit >= 0),
    breaker breaker_state NOT NULL DEFAULT 'closed',
    breaker_trips smallint NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT 'epoch'
) WITH (fillfactor = 50);
CREATE INDEX provider_lanes_limited ON provider_lanes (provider) WHERE chunk_limit IS NOT NULL OR breaker <> 'closed';

ALTER TABLE mailboxes ADD COLUMN paused_at timestamptz;
ALTER TABLE sync_jobs
ADD COLUMN paused_at timestamptz,
ADD COLUMN wake_ups integer NOT NULL DEFAULT 0,  -- notifications sent for it
ADD COLUMN woken_at timestamptz;

ALTER TABLE chunk_processing_queue
ADD COLUMN turn_at timestamptz,                  -- NULL: due later; infinity: its job is paused
ADD COLUMN estimated_emails integer NOT NULL DEFAULT 0,
ADD COLUMN emails_inserted integer NOT NULL DEFAULT 0,
ADD COLUMN emails_unchanged integer NOT NULL DEFAULT 0,
ADD COLUMN emails_absent integer NOT NULL DEFAULT 0,
ADD COLUMN emails_quarantined integer NOT NULL DEFAULT 0,
ADD COLUMN bytes_processed bigint NOT NULL DEFAULT 0,
-- Checked at each claim for nothing: the row was claimed by a worker that the function has just seen.
DROP CONSTRAINT chunk_processing_queue_worker_id_fkey,
DROP CONSTRAINT chunk_processing_queue_sync_job_id_fkey,
DROP CONSTRAINT processing_has_a_worker,
ADD CONSTRAINT processing_has_a_worker CHECK (status <> 'processing' OR worker_id IS NOT NULL),
ADD CONSTRAINT ended_has_a_turn CHECK (status = 'pending' OR turn_at IS NOT NULL) NOT VALID;
DROP INDEX chunk_processing_queue_due, chunk_processing_queue_running;
UPDATE chunk_processing_queue AS q
SET turn_at = CASE
        WHEN q.status <> 'pending' OR q.available_at <= clock() THEN q.available_at - q.priority * interval '1 minute'
    END,
    estimated_emails = c.estimated_emails,
    emails_inserted = c.emails_inserted, emails_unchanged = c.emails_unchanged, emails_absent = c.emails_absent,
    emails_quarantined = c.emails_quarantined, bytes_processed = c.bytes_processed
FROM sync_chunks AS c WHERE c.id = q.chunk_id;
ALTER TABLE chunk_processing_queue VALIDATE CONSTRAINT ended_has_a_turn;
ALTER TABLE chunk_processing_queue SET (fillfactor = 50);  -- HOT while a snapshot keeps old versions, too
CREATE INDEX chunk_processing_queue_turn ON chunk_processing_queue (mailbox_id, turn_at, chunk_id)
WHERE turn_at IS NOT NULL;
CREATE INDEX chunk_processing_queue_later ON chunk_processing_queue (mailbox_id, available_at) WHERE turn_at IS NULL;

ALTER TABLE mailbox_lanes
ADD COLUMN provider text NOT NULL DEFAULT '',
ADD COLUMN version bigint NOT NULL DEFAULT 0,    -- grows with each change of an indexed column
ADD COLUMN held bigint[] NOT NULL DEFAULT '{}',  -- the chunks of it that run: as many as connections, at most
ADD COLUMN paused boolean NOT NULL DEFAULT false,  -- the mailbox or its tenant is
ADD COLUMN head_class smallint,                  -- its first chunk's urgency, 0 first; NULL: closed
ADD COLUMN vtime bigint NOT NULL DEFAULT 0,      -- virtual time: service received, in strides
ADD COLUMN stride integer NOT NULL DEFAULT 1000 CHECK (stride > 0),  -- what a chunk costs
ADD COLUMN low_turn_at timestamptz NOT NULL DEFAULT 'epoch',  -- no chunk before this mark is waiting
ADD COLUMN low_chunk_id bigint NOT NULL DEFAULT 0,
ADD COLUMN wake_at timestamptz DEFAULT 'epoch',  -- look at the lane again then: a chunk falls due, a pause ends, age
ADD COLUMN breaker breaker_state NOT NULL DEFAULT 'closed',
ADD COLUMN breaker_failures smallint NOT NULL DEFAULT 0,
ADD COLUMN breaker_trips smallint NOT NULL DEFAULT 0;
UPDATE mailbox_lanes AS l
SET provider = m.provider || coalesce(':' || lower(substring(m.address FROM '://(?:[^@/]*@)?([^:/]+)')), ''),
    held = ARRAY(
        SELECT q.chunk_id FROM chunk_processing_queue AS q WHERE q.mailbox_id = l.mailbox_id
            AND q.status = 'processing'
    )
FROM mailboxes AS m WHERE m.id = l.mailbox_id;
INSERT INTO provider_lanes (provider) SELECT DISTINCT provider FROM mailbox_lanes;
-- Instead of a key on the mailbox alone: an old version must never be in the way of finding the newest.
ALTER TABLE mailbox_lanes DROP CONSTRAINT mailbox_lanes_pkey, ALTER COLUMN mailbox_id SET NOT NULL;
CREATE UNIQUE INDEX mailbox_lanes_newest ON mailbox_lanes (mailbox_id, version);
CREATE INDEX mailbox_lanes_open ON mailbox_lanes (head_class, vtime, mailbox_id) WHERE head_class IS NOT NULL;
CREATE INDEX mailbox_lanes_wake ON mailbox_lanes (wake_at) WHERE wake_at IS NOT NULL;
ALTER TABLE mailbox_lanes SET (
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0
);

CREATE SEQUENCE lane_clock MINVALUE 0 START 0;   -- virtual time of the lane served last: where a lane that opens begins
CREATE SEQUENCE lane_openings;                   -- grows when a lane opens or gains urgency: marks of claimers are void
SELECT nextval('lane_openings');

-- Attempts are found by their job and chunk; there is nothing that asks for one by its id.
ALTER TABLE chunked_sync_health_monitoring
ADD COLUMN provider text,
ALTER COLUMN id SET DEFAULT gen_random_uuid(),   -- no index wants its order
DROP CONSTRAINT chunked_sync_health_monitoring_pkey;
DROP INDEX chunked_sync_health_monitoring_chunk;
CREATE INDEX chunked_sync_health_monitoring_job ON chunked_sync_health_monitoring (sync_job_id, chunk_id);

CREATE TYPE taken_chunk AS (chunk_id bigint, lease_token bigint, attempts smallint, max_attempts smallint);
CREATE TYPE job_counts AS (
    sync_job_id bigint, completed integer, failed integer, cancelled integer, emails bigint, bytes bigint
);
