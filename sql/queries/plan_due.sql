-- Jobs to be planned now, the most urgent first, marked so that the next tick does not ask again at once.
UPDATE sync_jobs SET plan_dispatched_until = clock() + %(mark)s::interval
WHERE id IN (
    SELECT j.id FROM sync_jobs AS j
    WHERE j.status = 'requested' AND j.plan_available_at <= clock() AND j.plan_dispatched_until < clock()
        AND plan_is_free(j.id)
    ORDER BY j.priority DESC, j.id LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
)
RETURNING id, plan_attempts, plan_dispatched_until
