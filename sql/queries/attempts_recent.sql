-- Attempts of the last hours by status and category: for the health assets.
SELECT h.status::text AS status, h.error_category::text AS error_category, count(*)::bigint AS attempts,
    sum(h.processing_time_ms)::bigint AS ms_sum, sum(h.emails_processed)::bigint AS emails
FROM chunked_sync_health_monitoring AS h
WHERE h.created_at > (SELECT clock()) - %(hours)s * interval '1 hour'
GROUP BY 1, 2
