-- What could not be read or stored, in numbers: messages that have the same kind and reasons.
SELECT p.kind, p.reasons, count(*)::bigint AS messages FROM mail_problems AS p
WHERE %(mailbox_id)s::bigint IS NULL OR p.mailbox_id = %(mailbox_id)s
GROUP BY p.kind, p.reasons
