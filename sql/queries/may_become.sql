-- Whether this login may become a role, and that role has been given rights here.
SELECT EXISTS (
    SELECT FROM pg_roles AS r INNER JOIN pg_namespace AS n ON n.nspname = 'chunk_sync'
    WHERE r.rolname = %(role)s AND pg_has_role(session_user, r.oid, %(right)s) AND has_schema_privilege(r.oid, n.oid,
        'USAGE')
) AS granted
