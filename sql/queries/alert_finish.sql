-- What became of an attempt: sent, to be tried again, or given up. No row: another has the message by now.
UPDATE alert_deliveries AS d
SET last_error = %(error)s,
    status = CASE
        WHEN %(error)s::text IS NULL THEN 'sent' WHEN d.attempts >= %(max_attempts)s THEN 'failed' ELSE 'waiting'
    END,
    next_at = clock() + %(retry_in)s::interval,
    ended_at = CASE WHEN %(error)s::text IS NULL OR d.attempts >= %(max_attempts)s THEN clock() END
WHERE d.id = %(delivery_id)s AND d.attempts = %(attempt)s AND d.status = 'waiting'
RETURNING d.status
