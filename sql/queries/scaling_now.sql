-- What was decided last about runs (NULL: nothing yet), what the operator says about them, and how many there are.
SELECT s.wanted_runs, s.fewer_peak, extract(EPOCH FROM s.fewer_since)::double precision AS fewer_since,
    extract(EPOCH FROM s.decided_at)::double precision AS decided_at, s.reason,
    extract(EPOCH FROM r.drain_within)::double precision AS drain_within, r.fewest_runs,
    extract(EPOCH FROM r.fewer_after)::double precision AS fewer_after,
    extract(EPOCH FROM clock())::double precision AS now
FROM queue_rules AS r LEFT JOIN scaling_state AS s ON true
