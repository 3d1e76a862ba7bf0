-- What keeps tenants from being isolated, and what to do about it.
WITH role AS (
    SELECT w.name, r.oid, r.rolsuper OR r.rolbypassrls AS free, r.rolcanlogin
    FROM unnest(%(roles)s::text[]) AS w (name) LEFT JOIN pg_roles AS r ON r.rolname = w.name
),

own_table AS (
    SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS closed, o.rolname, o.rolsuper
        OR o.rolbypassrls AS free
    FROM pg_class AS c INNER JOIN pg_roles AS o ON o.oid = c.relowner
    WHERE c.relnamespace = to_regnamespace('chunk_sync') AND c.relkind IN ('r', 'p')
        AND c.relname NOT IN ('schema_migrations', 'schema_objects')
)

SELECT format(
    'there is no role %%s: as a superuser, CREATE ROLE %%s NOLOGIN; GRANT %%s TO %%I; then `./chunk-sync migrate`',
    role.name, role.name, role.name, session_user) AS fault
FROM role WHERE role.oid IS NULL
UNION ALL
SELECT format('the role %%s is bound by no rule: as a superuser, ALTER ROLE %%s NOSUPERUSER NOBYPASSRLS', role.name,
    role.name)
FROM role WHERE role.free
UNION ALL
SELECT format('one can log in as %%s: as a superuser, ALTER ROLE %%s NOLOGIN', role.name, role.name)
FROM role WHERE role.rolcanlogin
UNION ALL
SELECT format('the login %%I cannot act as %%s: as a superuser, GRANT %%s TO %%I', session_user, role.name, role.name,
    session_user)
FROM role WHERE role.name = %(app)s AND role.oid IS NOT NULL AND current_user <> %(app)s
UNION ALL
SELECT format('the tables'' owner %%I is bound by no rule: let one that is no superuser own them', o.rolname)
FROM own_table AS o WHERE o.free GROUP BY o.rolname
UNION ALL
SELECT format('no rules are set on %%s: `./chunk-sync migrate`', string_agg(o.relname, ', ' ORDER BY o.relname))
FROM own_table AS o WHERE NOT o.closed HAVING count(*) > 0
