-- How many sync runs are wanted, for autoscalers: one row, none before the first tick of the dispatcher. `running` are
-- those that are asked for or at work now, `backlog_seconds` what is due, in seconds of one run.
DROP VIEW IF EXISTS scaling_wanted;
CREATE VIEW scaling_wanted WITH (security_invoker = true) AS
SELECT s.wanted_runs, s.useful_runs,
    (SELECT count(*)::integer FROM dispatches AS d WHERE d.ended_at IS NULL) AS running,
    s.due_chunks, s.backlog_seconds, s.reason, s.decided_at
FROM scaling_state AS s;
