-- Forecasts that were scored in the last hours, the newest last: how far on the work was, and how right they were.
SELECT f.kind, f.model, f.scored_at, (f.landed::double precision / greatest(f.planned, 1)) AS share, f.error, f.inside,
    extract(EPOCH FROM f.ended_at - f.made_at)::double precision AS seconds
FROM (
    SELECT x.* FROM forecasts AS x
    WHERE x.scored_at > (SELECT clock()) - %(hours)s * interval '1 hour' AND x.error IS NOT NULL
    ORDER BY x.scored_at DESC LIMIT 20000
) AS f
ORDER BY f.scored_at, f.id
