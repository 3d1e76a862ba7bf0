-- The newest forecast of each of these jobs, when it is of the last hour: the range of the end.
SELECT j.id, f.low_at, f.high_at
FROM unnest(%(job_ids)s::bigint[]) AS j (id)
CROSS JOIN LATERAL (
    SELECT n.low_at, n.high_at, n.made_at FROM forecasts AS n
    WHERE n.sync_job_id = j.id AND n.kind = 'job' ORDER BY n.id DESC LIMIT 1
) AS f
WHERE f.made_at > clock() - interval '1 hour'
