-- All samples for Prometheus: those of the view chunk_sync_metrics, and what other views tell.
SELECT m.name, m.kind, m.help, m.labels, m.value FROM chunk_sync_metrics AS m
UNION ALL
SELECT 'chunk_sync_alerts', 'gauge', 'signals of health_alerts', jsonb_build_object('level', l.level),
    count(a.signal)::double precision
FROM unnest('{warn,critical}'::text[]) AS l (level)
LEFT JOIN health_alerts AS a ON a.level = l.level
GROUP BY l.level
