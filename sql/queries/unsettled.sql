-- What is not told to Dagster yet: runs at work, and chunks of the last hour that were not reported.
SELECT (SELECT count(*) FROM dispatches WHERE ended_at IS NULL)
    + (SELECT count(*) FROM sync_chunks AS c INNER JOIN chunk_processing_queue AS q ON q.chunk_id = c.id
        WHERE c.reported_at IS NULL AND q.status = 'completed' AND q.completed_at > clock() - interval '1 hour')
    AS count
