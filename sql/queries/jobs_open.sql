-- Jobs that are still to end.
SELECT id FROM sync_jobs WHERE status IN ('requested', 'planning', 'processing') ORDER BY id
