-- Which of these messages have a thread already.
SELECT message_id FROM thread_messages WHERE message_id = ANY (%(message_ids)b::bigint[])
