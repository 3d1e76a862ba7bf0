-- The conversations of these threads, and which conversation each joins by subject.
SELECT c.id, p.conversation_id AS parent_id
FROM threads AS c
LEFT JOIN thread_messages AS m ON m.message_id = c.parent_message_id
LEFT JOIN threads AS p ON p.id = m.landed_in
WHERE c.thread_id = ANY (%(threads)b::bigint[]) AND c.conversation_id = c.id
