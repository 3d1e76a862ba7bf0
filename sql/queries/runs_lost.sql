-- Runs whose worker gave no sign of life until its lease was over for a while, within the last day: their machine is
-- lost, or the run gave up by itself long ago. One that says goodbye does so before its lease is over.
SELECT w.run_id FROM workers AS w
WHERE w.run_id IS NOT NULL AND w.lease_until < clock() - %(quiet)s::interval
    AND w.lease_until > clock() - interval '1 day' AND coalesce(w.ended_at > w.lease_until, true)
