-- Numbers for new messages, so that the parts can be sent without waiting for RETURNING.
SELECT nextval(pg_get_serial_sequence('chunk_sync.messages', 'id')) AS id FROM generate_series(1, %(count)s)
