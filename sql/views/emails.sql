-- The mail, a row per message: what people see of it in a list, its thread, and where its mailbox holds it now with
-- which flags. A message that is nowhere any more has no folders; one that waits for its thread has none.
DROP VIEW IF EXISTS emails;
CREATE VIEW emails WITH (security_invoker = true) AS
SELECT
    m.id,
    m.tenant_id,
    m.mailbox_id,
    b.name AS mailbox,
    t.public_id AS thread_id,
    m.subject,
    m.from_name,
    m.from_address,
    m.to_addresses,
    m.cc_addresses,
    m.sent_at,
    m.received_at,
    m.direction,
    m.snippet,
    m.has_attachments,
    m.size,
    m.message_id,
    ARRAY(
        SELECT DISTINCT f.path FROM message_locations AS l INNER JOIN folders AS f ON f.id = l.folder_id
        WHERE l.message_id = m.id AND l.vanished_at IS NULL ORDER BY f.path
    ) AS folders,
    ARRAY(
        SELECT DISTINCT g.flag FROM message_locations AS l CROSS JOIN LATERAL unnest(l.flags) AS g (flag)
        WHERE l.message_id = m.id AND l.vanished_at IS NULL ORDER BY g.flag
    ) AS flags
FROM messages AS m
INNER JOIN mailboxes AS b ON b.id = m.mailbox_id
LEFT JOIN thread_messages AS x ON x.message_id = m.id
LEFT JOIN threads AS s ON s.id = x.landed_in
LEFT JOIN threads AS t ON t.id = s.thread_id;
