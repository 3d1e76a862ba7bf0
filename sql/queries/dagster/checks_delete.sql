-- Results of asset checks whose runs are gone.
DELETE FROM asset_check_executions AS c
WHERE c.create_timestamp < %(before)s::timestamptz AT TIME ZONE 'UTC'
    AND c.run_id IS NOT NULL AND NOT EXISTS (SELECT FROM runs AS r WHERE r.run_id = c.run_id)
