-- Ask for a sync; the sensor finds it.
SELECT request_sync(
    %(mailbox)s, %(sync_type)s::sync_type, %(sync_from)s, %(sync_to)s, %(priority)s::integer, %(tenant)s,
    %(requested_by)s
) AS public_id
