-- How many signals are alarming, by level, as samples for Prometheus.
SELECT 'chunk_sync_alerts' AS name, 'gauge' AS kind, 'signals of health_alerts' AS help,
    jsonb_build_object('level', l.level) AS labels, count(a.signal)::double precision AS value
FROM unnest('{warn,critical}'::text[]) AS l (level)
LEFT JOIN health_alerts AS a ON a.level = l.level
GROUP BY l.level
