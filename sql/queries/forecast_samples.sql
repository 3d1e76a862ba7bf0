-- How these jobs went so far, the oldest sample first.
SELECT p.sync_job_id, extract(EPOCH FROM p.at)::double precision AS at, p.landed, p.planned, p.landed_bytes,
    p.planned_bytes, p.ended_chunks, p.chunks, p.running,
    extract(EPOCH FROM p.not_before)::double precision AS not_before, p.pauses, p.pause_seconds, p.paused
FROM progress_samples AS p
WHERE p.sync_job_id = ANY (%(job_ids)s::bigint[])
ORDER BY p.sync_job_id, p.at
