-- The system's health as JSON: attempts of the last hour and of the last 24 hours, and what is alarming now. Counted
-- are attempts, never decisions. An attempt that ended with a lost lease (status recovery) is a failed one. Ratios are
-- those of successful attempts. A mean of nothing is null. Under row security a tenant sees its own numbers.
CREATE OR REPLACE FUNCTION get_system_health_metrics() RETURNS json
LANGUAGE sql STABLE SET search_path = chunk_sync, pg_temp AS $$
    WITH day AS MATERIALIZED (
        SELECT h.status = 'success' AS good, h.created_at > (SELECT clock()) - interval '1 hour' AS recent,
            coalesce(h.error_category, 'unknown') AS error_category, h.processing_time_ms, h.efficiency_ratio
        FROM chunked_sync_health_monitoring h WHERE h.created_at > (SELECT clock()) - interval '24 hours'
    ),
    numbers AS (
        SELECT count(*) FILTER (WHERE recent) AS total, count(*) FILTER (WHERE recent AND good) AS good,
            count(*) FILTER (WHERE recent AND NOT good) AS bad,
            round(avg(processing_time_ms) FILTER (WHERE recent), 2)::double precision AS avg_ms,
            round(avg(efficiency_ratio) FILTER (WHERE good), 2)::double precision AS avg_ratio,
            (max(efficiency_ratio) FILTER (WHERE good))::double precision AS peak_ratio, count(*) AS day_total
        FROM day
    ),
    errors AS (
        SELECT error_category, count(*) AS count,
            round(100.0 * count(*) / sum(count(*)) OVER (), 2)::double precision AS percentage
        FROM day WHERE NOT good GROUP BY error_category
    ),
    alerts AS MATERIALIZED (SELECT * FROM health_alerts)
    SELECT json_build_object(
        'overall_health',
        CASE WHEN n.bad > n.good THEN 'degraded' WHEN n.bad > 0 THEN 'warning' ELSE 'healthy' END,
        'last_hour_stats', json_build_object('total_chunks', n.total, 'successful_chunks', n.good,
            'failed_chunks', n.bad, 'avg_processing_time_ms', n.avg_ms),
        'error_analysis', (
            SELECT coalesce(json_agg(to_json(e) ORDER BY e.count DESC, e.error_category), '[]') FROM errors e
        ),
        'performance_metrics', json_build_object('avg_efficiency_ratio', n.avg_ratio,
            'peak_efficiency', n.peak_ratio, 'total_chunks_processed', n.day_total),
        'alert_level', (SELECT coalesce(min(a.level), 'ok') FROM alerts a),  -- critical comes before warn
        'alerts', (SELECT coalesce(json_agg(to_json(a) ORDER BY a.level, a.signal), '[]') FROM alerts a),
        'generated_at', clock()
    ) FROM numbers n
$$;
