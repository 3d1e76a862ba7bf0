-- What could not be read or not be stored, a row per message that is there now: `unparsable` and `defective` ones with
-- one of their places and what was found wrong, `quarantined` ones with why they were not stored. Each was seen
-- at noticed_at; quarantined ones have no message_id and no date of receipt. What is gone from its mailbox is left out,
-- as is what has landed after all, and what was numbered before the folder was numbered anew.
DROP VIEW IF EXISTS mail_problems;
CREATE VIEW mail_problems WITH (security_invoker = true) AS
SELECT
    m.tenant_id,
    m.mailbox_id,
    b.name AS mailbox,
    l.folder_id,
    f.path AS folder,
    l.uid,
    m.parse_status AS kind,
    m.defects AS reasons,
    m.size::bigint AS size,
    coalesce(l.received_at, m.received_at) AS received_at,
    m.created_at AS noticed_at,
    m.id AS message_id
FROM messages AS m
INNER JOIN mailboxes AS b ON b.id = m.mailbox_id
CROSS JOIN LATERAL (
    SELECT p.folder_id, p.uid, p.received_at FROM message_locations AS p
    WHERE p.message_id = m.id AND p.vanished_at IS NULL
    ORDER BY p.folder_id, p.uidvalidity DESC, p.uid LIMIT 1
) AS l
INNER JOIN folders AS f ON f.id = l.folder_id
WHERE m.parse_status <> 'ok'
UNION ALL
SELECT
    q.tenant_id,
    f.mailbox_id,
    b.name,
    q.folder_id,
    f.path,
    q.uid,
    'quarantined',
    ARRAY[q.reason],
    q.size,
    NULL,
    q.created_at,
    NULL
FROM quarantined_messages AS q
INNER JOIN folders AS f ON f.id = q.folder_id
INNER JOIN mailboxes AS b ON b.id = f.mailbox_id
WHERE q.vanished_at IS NULL AND q.uidvalidity = f.uidvalidity AND NOT EXISTS (
    SELECT FROM message_locations AS l
    WHERE l.folder_id = q.folder_id AND l.uidvalidity = q.uidvalidity AND l.uid = q.uid
);
