-- Alerts that have been quiet for long enough are over.
UPDATE alerts AS a SET resolved_at = clock() WHERE a.id = ANY (%(alert_ids)s::bigint[])
