-- One landing of a mailbox at a time puts threads together; the others wait for its end.
SELECT pg_advisory_xact_lock(hashtextextended('chunk_sync.threads', %(mailbox_id)s))
