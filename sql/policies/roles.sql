-- The roles that nobody logs in as: the engine, a tenant, an operator. The fourth is the owner, the login that
-- migrates. It may become each of them and has nothing of theirs by itself (before PostgreSQL 16 it inherits, which
-- gives it no more than it has). Roles belong to the cluster: they may be there already, or another database's
-- migration makes them at this moment. A login that may make no roles goes without isolation, and `doctor` says so.
DO $$
DECLARE
    c_newer CONSTANT boolean := current_setting('server_version_num')::integer >= 160000;
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY '{chunk_sync_app,chunk_sync_tenant,chunk_sync_operator}'::text[] LOOP
        BEGIN
            IF to_regrole(v_role) IS NULL THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN NULL;
        END;
        BEGIN
            IF to_regrole(v_role) IS NOT NULL AND NOT pg_has_role(v_role, CASE WHEN c_newer
                THEN 'SET' ELSE 'MEMBER' END) THEN
                EXECUTE format('GRANT %I TO CURRENT_USER', v_role) || CASE WHEN c_newer
                    THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END;
            END IF;
        EXCEPTION WHEN unique_violation OR insufficient_privilege THEN NULL;
        END;
    END LOOP;
END $$;
