-- The queue now, a row per tenant, mailbox and status: for the health asset.
SELECT t.name AS tenant, m.name AS mailbox, q.status::text AS status, count(*)::bigint AS chunks,
    count(*) FILTER (WHERE q.status = 'pending' AND q.available_at <= (SELECT clock()))::bigint AS due,
    extract(EPOCH FROM (SELECT clock()) - min(q.available_at) FILTER (
        WHERE q.status = 'pending' AND q.available_at <= (SELECT clock())))::double precision AS oldest_due_seconds
FROM chunk_processing_queue AS q
INNER JOIN mailboxes AS m ON m.id = q.mailbox_id
INNER JOIN tenants AS t ON t.id = q.tenant_id
GROUP BY t.name, m.name, q.status
