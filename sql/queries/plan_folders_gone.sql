-- Folders that the source does not list any more, and all that was in them.
WITH gone AS (
    UPDATE folders SET gone_at = clock() WHERE mailbox_id = %(mailbox_id)s AND key <> ALL (%(keys)s) AND gone_at IS NULL
    RETURNING id
), quarantined AS (
    UPDATE quarantined_messages SET vanished_at = clock()
    WHERE folder_id IN (SELECT g.id FROM gone AS g) AND vanished_at IS NULL
)
UPDATE message_locations SET vanished_at = clock()
WHERE folder_id IN (SELECT g.id FROM gone AS g) AND vanished_at IS NULL
