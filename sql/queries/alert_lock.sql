-- Alerts are looked at by one at a time: else two would each open the same one. Who dies meanwhile is not waited for.
SELECT
    set_config('idle_in_transaction_session_timeout', '30s', true),
    set_config('lock_timeout', '20s', true),
    pg_advisory_xact_lock(hashtextextended('chunk_sync.alerts', 0))
