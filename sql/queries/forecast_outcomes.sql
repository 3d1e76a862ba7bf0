-- How wide past ranges were and how far off they were, the newest first: what ranges are scaled by.
SELECT f.spread, abs(ln(greatest(extract(EPOCH FROM f.ended_at - f.made_at), 1)
    / greatest(extract(EPOCH FROM f.expected_at - f.made_at), 1)))::double precision AS error
FROM forecasts AS f
WHERE f.scored_at IS NOT NULL AND f.error IS NOT NULL AND f.kind = 'job' AND f.model = %(model)s
ORDER BY f.scored_at DESC LIMIT %(limit)s
