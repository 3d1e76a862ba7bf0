-- A message, once a mailbox; one that is there stays as it is.
INSERT INTO messages (
    id, tenant_id, mailbox_id, raw_sha256, size, message_id, in_reply_to, reference_ids, subject, from_name,
    from_address, to_addresses, cc_addresses, bcc_addresses, direction, sent_at, received_at, snippet, has_attachments,
    parse_status, defects
) VALUES (
    %(id)s, %(tenant_id)s, %(mailbox_id)s, %(raw_sha256)s, %(size)s, %(message_id)s, %(in_reply_to)s, %(reference_ids)s,
    %(subject)s, %(from_name)s, %(from_address)s, %(to_addresses)s, %(cc_addresses)s, %(bcc_addresses)s, %(direction)s,
    %(sent_at)s, %(received_at)s, %(snippet)s, %(has_attachments)s, %(parse_status)s, %(defects)s
)
ON CONFLICT (mailbox_id, raw_sha256) DO NOTHING
