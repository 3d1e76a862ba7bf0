-- How one promise stands.
INSERT INTO sla_states (
    tenant_id, objective, mailbox_id, state, deadline_at, expected_at, burn_rate, budget_left, message
)
VALUES (
    %(tenant_id)s, %(objective)s, %(mailbox_id)s, %(state)s, %(deadline_at)s, %(expected_at)s, %(burn_rate)s,
    %(budget_left)s, %(message)s
)
