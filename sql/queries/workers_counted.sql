-- Workers with a lease, what they hold, and how many mailboxes may not be asked for anything now.
SELECT
    (SELECT count(*) FROM workers AS w WHERE w.ended_at IS NULL AND w.lease_until >= (SELECT clock()))::integer
    AS workers,
    (SELECT coalesce(sum(cardinality(l.held)), 0) FROM mailbox_lanes AS l WHERE l.held <> '{}')::integer AS held,
    (SELECT count(*) FROM mailbox_lanes AS l WHERE l.paused)::integer AS paused,
    (SELECT count(*) FROM mailbox_lanes AS l WHERE NOT l.paused AND l.not_before > (SELECT clock()))::integer
    AS turned_away
