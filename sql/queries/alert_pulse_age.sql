-- Seconds since the last sign of life; where there has been none yet, since the schema was put in.
SELECT
    extract(
        EPOCH FROM clock() - coalesce(
            (SELECT p.at FROM alert_pulse AS p WHERE p.what = 'alerts'),
            (SELECT max(m.applied_at) FROM schema_migrations AS m)
        )
    )::double precision AS seconds
