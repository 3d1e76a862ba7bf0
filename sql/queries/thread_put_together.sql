-- The threads that conversations are part of now, in all their rows that say something else.
UPDATE threads AS t SET thread_id = n.thread_id
FROM unnest(%(conversations)b::bigint[], %(new)b::bigint[]) AS n (conversation_id, thread_id)
WHERE t.thread_id = ANY (%(threads)b::bigint[]) AND t.conversation_id = n.conversation_id
    AND t.thread_id <> n.thread_id
