-- Where the mailbox holds a message; one that is there stays.
INSERT INTO message_locations (folder_id, uidvalidity, uid, tenant_id, message_id, provider_id, flags, received_at)
VALUES (
    %(folder_id)s, %(uidvalidity)s, %(uid)s, %(tenant_id)s, %(message_id)s, %(provider_id)s, %(flags)s, %(received_at)s
)
ON CONFLICT DO NOTHING
