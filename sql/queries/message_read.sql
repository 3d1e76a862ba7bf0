-- A message for a person: what its list shows, and its text.
SELECT e.mailbox, e.subject, e.from_name, e.from_address, e.to_addresses, e.cc_addresses, e.sent_at, e.received_at,
    e.folders, e.flags, e.size, b.body_text, b.body_html IS NOT NULL AS has_html
FROM emails AS e
LEFT JOIN message_bodies AS b ON b.message_id = e.id
WHERE e.id = %(message_id)s
