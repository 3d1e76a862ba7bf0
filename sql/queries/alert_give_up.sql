-- Messages whose sender died each time: what is left of their attempts is nothing.
UPDATE alert_deliveries AS d
SET status = 'failed',
    ended_at = clock(),
    last_error = coalesce(d.last_error, 'whoever sent it ended each time before it knew')
WHERE d.status = 'waiting' AND d.attempts >= %(max_attempts)s AND d.next_at <= clock()
