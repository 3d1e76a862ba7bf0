-- One hint at a time for a mailbox: else two listeners would each find no sync waiting, and both ask for one.
SELECT pg_advisory_xact_lock(hashtextextended('chunk_sync.hints', %(mailbox_id)s))
