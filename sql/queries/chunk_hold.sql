-- The end of a page: the chunk is still ours, and nobody takes it before the page is committed.
SELECT hold_chunk(%(chunk_id)s, %(lease_token)s)
