-- Attempts that ended within [app.since, app.until), for the roll-up: COPY takes no parameters, but it reads settings.
SELECT h.created_at, h.tenant_id, h.mailbox_id, h.provider, h.status, h.error_category, h.attempt_number,
    h.status <> 'success' AND h.suggested_retry_delay_ms IS NULL AS dead,
    h.emails_processed, h.chunk_size, coalesce(h.bytes_processed, 0) AS bytes_processed,
    coalesce(h.requests, 0) AS requests, h.processing_time_ms, h.efficiency_ratio
FROM chunked_sync_health_monitoring AS h
WHERE h.created_at >= current_setting('app.since')::timestamptz
    AND h.created_at < current_setting('app.until')::timestamptz
