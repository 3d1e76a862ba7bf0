-- What landed in the last hours, by hour and provider, from the roll-up.
SELECT a.hour, a.provider, sum(a.emails)::bigint AS emails, sum(a.bytes)::bigint AS bytes,
    sum(a.requests)::bigint AS requests, sum(a.ms_sum)::bigint AS ms_sum, sum(a.attempts)::bigint AS attempts
FROM attempt_hours AS a
WHERE a.status = 'success' AND a.hour > (SELECT clock()) - %(hours)s * interval '1 hour'
GROUP BY 1, 2
ORDER BY 1
