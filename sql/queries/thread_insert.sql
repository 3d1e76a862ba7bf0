-- New threads, each a conversation of its own.
INSERT INTO threads (id, tenant_id, mailbox_id, conversation_id, thread_id, first_message_id)
OVERRIDING SYSTEM VALUE
SELECT t.id, %(tenant_id)s, %(mailbox_id)s, t.id, t.id, t.first_message_id
FROM unnest(%(ids)b::bigint[], %(firsts)b::bigint[]) AS t (id, first_message_id)
