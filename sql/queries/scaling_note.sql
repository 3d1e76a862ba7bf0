-- Note what was decided about runs.
INSERT INTO scaling_state (
    wanted_runs, useful_runs, running, due_chunks, backlog_seconds, reason, fewer_since, fewer_peak, decided_at
)
VALUES (
    %(wanted)s, %(useful)s, %(running)s, %(chunks)s, %(seconds)s, %(reason)s, to_timestamp(%(fewer_since)s),
    %(fewer_peak)s, clock()
)
ON CONFLICT (id) DO UPDATE SET wanted_runs = EXCLUDED.wanted_runs, useful_runs = EXCLUDED.useful_runs,
    running = EXCLUDED.running, due_chunks = EXCLUDED.due_chunks, backlog_seconds = EXCLUDED.backlog_seconds,
    reason = EXCLUDED.reason, fewer_since = EXCLUDED.fewer_since, fewer_peak = EXCLUDED.fewer_peak,
    decided_at = EXCLUDED.decided_at
