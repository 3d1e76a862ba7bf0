-- Messages after this one that have no thread: landed by a version that made none.
SELECT
    m.id, m.tenant_id, m.mailbox_id, m.raw_sha256, m.message_id, m.in_reply_to, m.reference_ids, m.subject,
    m.from_address, m.to_addresses, m.cc_addresses, m.sent_at
FROM messages AS m
WHERE m.id > %(after)s AND NOT EXISTS (SELECT FROM thread_messages AS t WHERE t.message_id = m.id)
ORDER BY m.id LIMIT %(limit)s
