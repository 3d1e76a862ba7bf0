-- Of these Message-IDs the ones that are known, by their place in the list: the conversation and its first message.
SELECT w.place::int - 1 AS place, c.id, c.thread_id, c.parent_message_id, f.message_id, f.sent_at, f.raw_sha256
FROM unnest(%(ids)b::uuid[]) WITH ORDINALITY AS w (id_hash, place)
INNER JOIN thread_nodes AS n ON n.mailbox_id = %(mailbox_id)s AND n.id_hash = w.id_hash
INNER JOIN threads AS s ON s.id = n.landed_in
INNER JOIN threads AS c ON c.id = s.conversation_id
LEFT JOIN thread_messages AS f ON f.message_id = c.first_message_id
