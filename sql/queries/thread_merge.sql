-- Conversations that are part of an older one now, with all that was part of them. Their threads are told later.
UPDATE threads AS t SET conversation_id = m.conversation_id
FROM unnest(%(merged)b::bigint[], %(conversations)b::bigint[]) AS m (id, conversation_id)
INNER JOIN threads AS c ON c.id = m.id
WHERE t.thread_id = c.thread_id AND t.conversation_id = m.id
