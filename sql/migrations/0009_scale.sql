-- A hundred thousand chunks of one job, and a million of history: what Dagster keeps is retained by rules like the
-- rest, and nothing that happens every five seconds reads what is over. See docs/decisions/0016.

-- squawk-ignore-file require-concurrent-index-creation, ban-drop-constraint

-- The rows that are there need no second look: the constraint before was narrower.
ALTER TABLE retention_policies DROP CONSTRAINT retention_policies_what_check;
ALTER TABLE retention_policies ADD CONSTRAINT retention_policies_what_check CHECK (what IN (
    'attempts', 'completed_jobs', 'failed_jobs', 'archived_jobs', 'workers', 'dispatches', 'audit_log',
    'partition_keys', 'dagster_runs'
)) NOT VALID;
INSERT INTO retention_policies (what, keep) VALUES
('partition_keys', '7 days'),                    -- after their job ended
('dagster_runs', '14 days');                     -- after they ended; with them their events, so the history of chunks

-- Chunks that Dagster was not told of: those that wait, and a few that have just landed.
CREATE INDEX sync_chunks_unreported ON sync_chunks (sync_job_id, id) WHERE reported_at IS NULL;
