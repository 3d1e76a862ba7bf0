-- Attempts of the last 48 hours by hour (UTC), status and category, the newest hour first.
DROP VIEW IF EXISTS chunked_sync_health_summary;
CREATE VIEW chunked_sync_health_summary WITH (security_invoker = true) AS
SELECT
    date_trunc('hour', h.created_at, 'UTC') AS hour,
    h.status,
    h.error_category,
    count(*) AS chunk_count,
    round(avg(h.processing_time_ms), 2) AS avg_processing_time_ms,
    min(h.processing_time_ms) AS min_processing_time_ms,
    max(h.processing_time_ms) AS max_processing_time_ms,
    round(avg(h.efficiency_ratio), 2) AS avg_efficiency_ratio
FROM chunked_sync_health_monitoring AS h
WHERE h.created_at > (SELECT clock()) - interval '48 hours'
GROUP BY 1, 2, 3
ORDER BY 1 DESC, 2, 3;
