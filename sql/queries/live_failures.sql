-- Attempts of the last hour that failed, of one mailbox or all, by category, the most frequent first.
SELECT h.error_category::text AS category, count(*) AS attempts
FROM chunked_sync_health_monitoring AS h
WHERE h.created_at > (SELECT clock()) - interval '1 hour' AND h.status <> 'success' AND h.error_category IS NOT NULL
    AND (%(mailbox_id)s::bigint IS NULL OR h.mailbox_id = %(mailbox_id)s)
GROUP BY h.error_category
ORDER BY attempts DESC, category
