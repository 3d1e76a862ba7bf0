-- Conversations that have another first message now, or do not join by subject what they did.
UPDATE threads AS t SET first_message_id = f.first_message_id, parent_message_id = f.parent_message_id
FROM unnest(%(ids)b::bigint[], %(firsts)b::bigint[], %(parents)b::bigint[])
    AS f (id, first_message_id, parent_message_id)
WHERE t.id = f.id
