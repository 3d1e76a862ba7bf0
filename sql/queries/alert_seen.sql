-- An open alert is there still; one that has grown worse is acknowledged no more.
UPDATE alerts AS a
SET last_seen_at = clock(),
    times_seen = a.times_seen + 1,
    value = %(value)s,
    threshold = %(threshold)s,
    message = %(message)s,
    level = %(level)s,
    acknowledged_at = CASE WHEN a.level = %(level)s THEN a.acknowledged_at END,
    acknowledged_by = CASE WHEN a.level = %(level)s THEN a.acknowledged_by END
WHERE a.id = %(alert_id)s
