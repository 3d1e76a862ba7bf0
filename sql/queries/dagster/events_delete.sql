-- One batch of events of chunks whose keys are gone. Dagster reads those of all keys that there ever were, whenever it
-- builds the status of the partitions anew, which it does at every key that comes or goes.
WITH gone AS (
    DELETE FROM event_logs WHERE id = ANY (ARRAY(
        SELECT e.id FROM event_logs AS e
        WHERE e.partition IS NOT NULL AND e.asset_key = %(asset)s
            AND e.timestamp < %(before)s::timestamptz AT TIME ZONE 'UTC'
            AND NOT EXISTS (
                SELECT FROM dynamic_partitions AS p
                WHERE p.partitions_def_name = %(name)s AND p.partition = e.partition
            )
        ORDER BY e.id LIMIT %(limit)s
    ))
    RETURNING id
), tags AS (
    DELETE FROM asset_event_tags WHERE event_id IN (SELECT g.id FROM gone AS g)
)
SELECT count(*) FROM gone
