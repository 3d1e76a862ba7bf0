-- Backfills that are over and have no run left.
WITH gone AS (
    DELETE FROM bulk_actions AS b
    WHERE b.status NOT IN ('REQUESTED', 'CANCELING', 'FAILING')
        AND b.timestamp < %(before)s::timestamptz AT TIME ZONE 'UTC'
        AND NOT EXISTS (SELECT FROM runs AS r WHERE r.backfill_id = b.key)
    RETURNING b.key
), tags AS (
    DELETE FROM backfill_tags WHERE backfill_id IN (SELECT g.key FROM gone AS g)
)
SELECT count(*) FROM gone
