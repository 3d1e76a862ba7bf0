-- Keep a forecast; a job's is not made anew before its time.
WITH added AS (
    INSERT INTO forecasts (
        kind, tenant_id, mailbox_id, sync_job_id, landed, planned, low_at, expected_at, high_at, rate, spread, model,
        why
    )
    VALUES (
        %(kind)s, %(tenant_id)s, %(mailbox_id)s, %(sync_job_id)s, %(landed)s, %(planned)s, to_timestamp(%(low)s),
        to_timestamp(%(expected)s), to_timestamp(%(high)s), %(rate)s, %(spread)s, %(model)s, %(why)s
    )
)

UPDATE progress_marks SET forecast_at = clock(), forecast_landed = %(landed)s
WHERE sync_job_id = %(sync_job_id)s AND %(kind)s = 'job'
