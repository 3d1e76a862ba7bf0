-- Messages that have their thread now; `people` are written as arrays, because lists of lists have one length.
INSERT INTO thread_messages (
    message_id, tenant_id, mailbox_id, landed_in, raw_sha256, sent_at, subject_key, sender, people, is_reply
)
SELECT
    m.message_id, %(tenant_id)s, %(mailbox_id)s, m.landed_in, m.raw_sha256, m.sent_at, m.subject_key, m.sender,
    m.people::bigint[], m.is_reply
FROM unnest(
    %(message_ids)b::bigint[], %(landed_in)b::bigint[], %(hashes)b::bytea[], %(sent_at)b::timestamptz[],
    %(subject_keys)b::bigint[], %(senders)b::bigint[], %(people)b::text[], %(replies)b::boolean[]
) AS m (message_id, landed_in, raw_sha256, sent_at, subject_key, sender, people, is_reply)
