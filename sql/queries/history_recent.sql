-- What an asset found in the last hours about the whole system, the oldest first.
SELECT at, numbers FROM health_history
WHERE asset = %(asset)s AND tenant_id IS NULL AND at > (SELECT clock()) - %(hours)s * interval '1 hour'
ORDER BY at
