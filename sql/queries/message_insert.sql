-- Messages, each once a mailbox; one that is there stays as it is. Lists are joined by U+001F.
INSERT INTO messages (
    tenant_id, mailbox_id, raw_sha256, size, message_id, in_reply_to, reference_ids, subject, from_name,
    from_address, to_addresses, cc_addresses, bcc_addresses, direction, sent_at, received_at, snippet, has_attachments,
    parse_status, defects
)
SELECT
    %(tenant_id)s, %(mailbox_id)s, m.raw_sha256, m.size, m.message_id, m.in_reply_to,
    string_to_array(m.reference_ids, chr(31)), m.subject, m.from_name, m.from_address, m.to_addresses::jsonb,
    m.cc_addresses::jsonb, m.bcc_addresses::jsonb, m.direction, m.sent_at, m.received_at, m.snippet, m.has_attachments,
    m.parse_status, string_to_array(m.defects, chr(31))
FROM unnest(
    %(raw_sha256)b::bytea[], %(size)b::integer[], %(message_id)b::text[], %(in_reply_to)b::text[],
    %(reference_ids)b::text[], %(subject)b::text[], %(from_name)b::text[], %(from_address)b::text[],
    %(to_addresses)b::text[], %(cc_addresses)b::text[], %(bcc_addresses)b::text[], %(direction)b::text[],
    %(sent_at)b::timestamptz[], %(received_at)b::timestamptz[], %(snippet)b::text[], %(has_attachments)b::boolean[],
    %(parse_status)b::text[], %(defects)b::text[]
) AS m (
    raw_sha256, size, message_id, in_reply_to, reference_ids, subject, from_name, from_address, to_addresses,
    cc_addresses, bcc_addresses, direction, sent_at, received_at, snippet, has_attachments, parse_status, defects
)
ON CONFLICT (mailbox_id, raw_sha256) DO NOTHING
RETURNING id, raw_sha256
