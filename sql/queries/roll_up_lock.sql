-- One roll-up at a time, until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('chunk_sync roll-up'))
