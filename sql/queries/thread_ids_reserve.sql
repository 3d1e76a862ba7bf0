-- Numbers for new threads; taken while the mailbox is locked, so that the smaller one is the older one.
SELECT nextval('chunk_sync.threads_id_seq') AS id FROM generate_series(1, %(count)s)
