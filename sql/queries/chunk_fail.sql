-- Report a failed attempt; the database answers what becomes of the chunk.
SELECT accepted, chunk_status::text, next_attempt_at,
    extract(EPOCH FROM next_attempt_at - clock())::double precision AS seconds_to_next
FROM fail_chunk(
    %(chunk_id)s, %(lease_token)s, %(category)s::error_category, %(message)s, %(code)s, %(retry_after_ms)s::integer,
    %(account_scope)s, %(processing_time_ms)s::integer, %(metadata)s
)
