-- Failed attempts of sync jobs by category, most frequent first.
SELECT error_category::text AS category, count(*)::integer AS attempts
FROM chunked_sync_health_monitoring
WHERE sync_job_id = ANY (%(job_ids)s) AND error_category IS NOT NULL
GROUP BY error_category
ORDER BY attempts DESC, category
