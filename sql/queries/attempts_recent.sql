-- Attempts of the last hours, a row each: for the health asset.
SELECT created_at, status::text AS status, error_category::text AS error_category, processing_time_ms, emails_processed,
    efficiency_ratio::double precision AS efficiency_ratio
FROM chunked_sync_health_monitoring
WHERE created_at > (SELECT clock()) - %(hours)s * interval '1 hour'
ORDER BY created_at
