-- Runs that ended before a moment, the oldest first, without those that Dagster still needs for what it shows: a run
-- that was over a chunk whose key is live (its colour), the last one of an asset or check, and the last that
-- materialized an asset.
SELECT r.run_id FROM runs AS r
WHERE r.status IN ('SUCCESS', 'FAILURE', 'CANCELED')
    AND coalesce(r.end_time, extract(EPOCH FROM r.update_timestamp)) < extract(EPOCH FROM %(before)s::timestamptz)
    AND r.run_id <> ALL (ARRAY(SELECT a.last_run_id FROM asset_keys AS a WHERE a.last_run_id IS NOT NULL))
    AND r.run_id <> ALL (ARRAY(
        SELECT m.run_id FROM asset_keys AS a CROSS JOIN LATERAL (
            SELECT e.run_id FROM event_logs AS e
            WHERE e.asset_key = a.asset_key AND e.dagster_event_type = 'ASSET_MATERIALIZATION'
            ORDER BY e.id DESC LIMIT 1
        ) AS m WHERE m.run_id IS NOT NULL
    ))
    AND r.run_id <> ALL (ARRAY(
        SELECT c.run_id FROM asset_check_executions AS c
        WHERE c.run_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM asset_check_executions AS n
            WHERE n.asset_key = c.asset_key AND n.check_name = c.check_name AND n.id > c.id
        )
    ))
    AND NOT EXISTS (
        SELECT FROM event_logs AS e
        INNER JOIN dynamic_partitions AS p ON p.partitions_def_name = %(name)s AND p.partition = e.partition
        WHERE e.run_id = r.run_id AND e.partition IS NOT NULL
    )
ORDER BY r.id LIMIT %(limit)s
