-- Dagster has been told of these chunks.
UPDATE sync_chunks SET reported_at = clock() WHERE id = ANY (%(chunk_ids)s)
