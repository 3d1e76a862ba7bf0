-- Of the conversations that may join another one by subject, those whose parent is not what is written of them: among
-- the latest messages with the same base subject, sent within the 30 days before, the last one where the sender of one
-- is among the people of the other. Looked at are new replies, and those after which not too many others came that may
-- answer a new message.
WITH new_message AS (
    SELECT m.message_id, m.mailbox_id, m.subject_key, m.sent_at, m.is_reply FROM thread_messages AS m
    WHERE m.message_id = ANY (%(message_ids)b::bigint[])
),

reply AS (
    SELECT n.message_id FROM new_message AS n WHERE n.is_reply
    UNION
    SELECT later.message_id
    FROM new_message AS n
    CROSS JOIN LATERAL (
        SELECT x.message_id FROM thread_messages AS x
        WHERE x.mailbox_id = n.mailbox_id AND x.is_reply AND x.subject_key = n.subject_key
            AND x.sent_at > n.sent_at AND x.sent_at <= n.sent_at + interval '720 hours'
        ORDER BY x.sent_at FETCH FIRST (%(latest)s::bigint) ROWS WITH TIES
    ) AS later
)

SELECT c.id, c.first_message_id, c.thread_id, best.message_id AS parent_message_id, b.thread_id AS parent_thread_id
FROM reply
INNER JOIN thread_messages AS r ON r.message_id = reply.message_id
INNER JOIN threads AS s ON s.id = r.landed_in
INNER JOIN threads AS c ON c.id = s.conversation_id AND c.first_message_id = r.message_id
LEFT JOIN LATERAL (
    SELECT p.message_id, p.landed_in
    FROM (
        SELECT x.message_id, x.landed_in, x.sent_at, x.raw_sha256, x.sender, x.people FROM thread_messages AS x
        WHERE x.mailbox_id = r.mailbox_id AND x.subject_key = r.subject_key
            AND x.sent_at < r.sent_at AND x.sent_at >= r.sent_at - interval '720 hours'
        ORDER BY x.sent_at DESC, x.raw_sha256 DESC LIMIT %(latest)s
    ) AS p
    WHERE p.sender = ANY (r.people) OR r.sender = ANY (p.people)
    ORDER BY p.sent_at DESC, p.raw_sha256 DESC LIMIT 1
) AS best ON true
LEFT JOIN threads AS b ON b.id = best.landed_in
WHERE best.message_id IS DISTINCT FROM c.parent_message_id
