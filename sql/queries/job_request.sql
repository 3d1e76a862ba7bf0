-- Ask for a sync; the sensor finds it.
SELECT j.id, j.public_id, j.sync_type, j.priority
FROM sync_jobs AS j
WHERE j.public_id = request_sync(
    %(mailbox)s, %(sync_type)s::sync_type, %(sync_from)s, %(sync_to)s, %(priority)s::integer, %(tenant)s, %(requested_by)s
)
