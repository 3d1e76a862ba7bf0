-- The conversations, a row per thread that has messages: what it is about, how many wrote how much, from when to when.
-- Threads that became part of another one are in that one's row.
DROP VIEW IF EXISTS email_threads;
CREATE VIEW email_threads WITH (security_invoker = true) AS
SELECT
    t.public_id AS thread_id,
    t.tenant_id,
    t.mailbox_id,
    b.name AS mailbox,
    (array_agg(m.subject ORDER BY m.sent_at, m.raw_sha256))[1] AS subject,
    count(*) AS messages,
    (
        SELECT count(DISTINCT a.person) FROM threads AS part
        INNER JOIN thread_messages AS member ON member.landed_in = part.id
        CROSS JOIN LATERAL unnest(member.people) AS a (person)
        WHERE part.thread_id = t.id
    ) AS participants,
    min(coalesce(m.sent_at, m.received_at)) AS first_at,
    max(coalesce(m.sent_at, m.received_at)) AS last_at
FROM threads AS t
INNER JOIN mailboxes AS b ON b.id = t.mailbox_id
INNER JOIN threads AS s ON s.thread_id = t.id
INNER JOIN thread_messages AS x ON x.landed_in = s.id
INNER JOIN messages AS m ON m.id = x.message_id
GROUP BY t.id, b.id;
