-- Lock the lanes of these mailboxes, in one order for everybody. Whoever changes chunks holds their lanes first: lanes,
-- then chunks, then jobs, then workers. What the next statement reads is then as it is, and nothing can deadlock.
-- Returns where the lanes are now; the newest version of a lane is found first, however many old ones are kept alive.
CREATE OR REPLACE FUNCTION lock_lanes(p_mailbox_ids bigint[]) RETURNS tid[]
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN (
        SELECT array_agg(x.tid) FROM (SELECT DISTINCT m.id FROM unnest(p_mailbox_ids) AS m (id) ORDER BY m.id) AS u
        CROSS JOIN LATERAL (
            SELECT l.ctid AS tid FROM mailbox_lanes AS l WHERE l.mailbox_id = u.id
            ORDER BY l.version DESC LIMIT 1 FOR NO KEY UPDATE
        ) AS x
    );
END $$;
