-- An error category by its name; a name that is none of the ten is unknown, no name is no category.
CREATE OR REPLACE FUNCTION category_named(p_name text) RETURNS error_category
LANGUAGE sql STABLE SET search_path = chunk_sync, pg_temp AS $$
    SELECT CASE WHEN p_name = ANY (enum_range(NULL::error_category)::text[]) THEN p_name::error_category
        WHEN p_name IS NOT NULL THEN 'unknown' END
$$;
