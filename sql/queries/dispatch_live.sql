-- Runs that are asked for or at work, by mailbox.
SELECT mailbox_id, tenant_id, count(*)::integer AS runs FROM dispatches WHERE ended_at IS NULL
GROUP BY mailbox_id, tenant_id
