-- The next hour to roll up: the first one with an attempt that ended at or after %(after)s. Without that, from the
-- hour before the last one that was done, for what was committed late. An hour of which retention has taken something
-- stays as it is. NULL: no attempt is left.
SELECT date_trunc('hour', min(h.created_at), 'UTC') AS since
FROM chunked_sync_health_monitoring AS h
WHERE h.created_at >= greatest(
    coalesce(%(after)s::timestamptz, (SELECT max(a.hour) - interval '1 hour' FROM attempt_hours AS a), '-infinity'),
    (SELECT date_trunc('hour', expired_before('attempts'), 'UTC') + interval '1 hour')
)
