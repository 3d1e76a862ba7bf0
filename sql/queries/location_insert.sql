-- Where the mailbox holds messages; one that is there stays, and one that was quarantined is so no more. The flags of
-- one message are joined by U+001F.
WITH freed AS (
    DELETE FROM quarantined_messages
    WHERE folder_id = %(folder_id)s AND uidvalidity = %(uidvalidity)s AND uid = ANY (%(uid)b::bigint[])
)
INSERT INTO message_locations (folder_id, uidvalidity, uid, tenant_id, message_id, provider_id, flags, received_at)
SELECT
    %(folder_id)s, %(uidvalidity)s, l.uid, %(tenant_id)s, l.message_id, l.provider_id,
    string_to_array(l.flags, chr(31)), l.received_at
FROM unnest(
    %(uid)b::bigint[], %(message_id)b::bigint[], %(provider_id)b::text[], %(flags)b::text[],
    %(received_at)b::timestamptz[]
) AS l (uid, message_id, provider_id, flags, received_at)
ON CONFLICT DO NOTHING
