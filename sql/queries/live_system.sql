-- The system now, one row: what waits and since when, who works, what may not.
SELECT clock() AS at,
    coalesce(sum(m.value) FILTER (WHERE m.name = 'chunk_sync_chunks' AND m.labels ->> 'status' = 'pending'), 0)::bigint
        AS waiting,
    coalesce(sum(m.value) FILTER (WHERE m.name = 'chunk_sync_chunks' AND m.labels ->> 'status' = 'processing'),
        0)::bigint AS processing,
    coalesce(sum(m.value) FILTER (WHERE m.name = 'chunk_sync_due_chunks'), 0)::bigint AS due,
    coalesce(max(m.value) FILTER (WHERE m.name = 'chunk_sync_oldest_due_seconds'), 0)::double precision
        AS oldest_due_seconds,
    coalesce(sum(m.value) FILTER (WHERE m.name = 'chunk_sync_workers'), 0)::bigint AS workers
FROM chunk_sync_metrics AS m
WHERE m.name IN ('chunk_sync_chunks', 'chunk_sync_due_chunks', 'chunk_sync_oldest_due_seconds', 'chunk_sync_workers')
