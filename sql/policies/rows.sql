-- Which rows of a table a role may see and change: row security on every table of the schema, forced. A table without
-- a line here is the engine's and the owner's alone; what may be done with the rows is in rights.sql.
--
-- A tenant is whoever the setting app.tenant_id names; unset, as it is again after each transaction, it names nobody.
-- The owner sees everything (migrations change all rows, and it is who types into psql), but only when it is itself
-- at work: a view or a function of its own that works for somebody else sees nothing.
DO $$
DECLARE
    c_tenant CONSTANT text := '(SELECT nullif(current_setting(''app.tenant_id'', true), '''')::bigint)';
    c_itself CONSTANT text := '(SELECT pg_has_role('
        || 'CASE current_setting(''role'') WHEN ''none'' THEN session_user ELSE current_setting(''role'') END, %L, ''USAGE''))';
    v_table record;
    v_policy name;
BEGIN
    FOR v_table IN
        SELECT c.relname AS name, replace(r.tenants, '$tenant', c_tenant) AS tenants, r.operators
        FROM pg_class AS c LEFT JOIN (VALUES
            -- a tenant's rows, an operator's rows; NULL: none
            ('tenants', 'id = $tenant', 'true'),
            ('mailboxes', 'tenant_id = $tenant', 'true'),
            ('folders', 'tenant_id = $tenant', NULL),
            ('sync_jobs', 'tenant_id = $tenant', 'true'),
            ('sync_job_folders', 'tenant_id = $tenant', NULL),
            ('sync_chunks', 'tenant_id = $tenant', 'true'),
            ('archived_sync_jobs', 'tenant_id = $tenant', 'true'),

            ('chunk_processing_queue', 'tenant_id = $tenant', 'true'),
            ('mailbox_lanes', 'tenant_id = $tenant', 'true'),
            ('tenant_lanes', 'tenant_id = $tenant', 'true'),
            ('provider_lanes', NULL, 'true'),
            ('dispatches', 'tenant_id = $tenant', 'true'),
            ('workers', 'true', 'true'),         -- they serve everybody; rights.sql says what a tenant sees of them

            ('messages', 'tenant_id = $tenant', NULL),
            ('message_bodies', 'tenant_id = $tenant', NULL),
            ('message_raw', 'tenant_id = $tenant', NULL),
            ('message_locations', 'tenant_id = $tenant', NULL),
            ('attachments', 'tenant_id = $tenant', NULL),
            ('quarantined_messages', 'tenant_id = $tenant', NULL),
            ('threads', 'tenant_id = $tenant', NULL),
            ('thread_nodes', 'tenant_id = $tenant', NULL),
            ('thread_messages', 'tenant_id = $tenant', NULL),
            ('message_search', 'tenant_id = $tenant', NULL),

            ('chunked_sync_health_monitoring', 'tenant_id = $tenant', 'true'),
            ('audit_log', 'tenant_id = $tenant', 'true'),
            ('attempt_hours', 'tenant_id = $tenant', 'true'),
            ('attempt_totals', 'tenant_id = $tenant', 'true'),
            ('health_history', 'tenant_id = $tenant', 'true'),
            ('tenant_slas', 'tenant_id = $tenant', 'true'),
            ('sla_states', 'tenant_id = $tenant', 'true'),

            ('forecasts', 'tenant_id = $tenant', 'true'),
            ('progress_marks', 'tenant_id = $tenant', 'true'),
            ('progress_samples', 'tenant_id = $tenant', 'true'),
            ('scaling_state', NULL, 'true'),

            ('alerts', 'tenant_id = $tenant', 'true'),
            ('alert_deliveries', 'tenant_id = $tenant', 'true'),
            ('alert_silences', 'tenant_id = $tenant', 'true'),
            ('alert_routes', 'tenant_id = $tenant', 'true'),
            ('alert_pulse', NULL, 'true'),

            ('queue_rules', NULL, 'true'),
            ('retry_policies', 'tenant_id = $tenant', 'true'),
            ('health_thresholds', 'true', 'true'),
            ('provider_quotas', 'true', 'true'),
            ('retention_policies', NULL, 'true')
        ) AS r (name, tenants, operators) ON r.name = c.relname
        -- The migrator reads its two books before it knows of policies.
        WHERE c.relnamespace = 'chunk_sync'::regnamespace AND c.relkind IN ('r', 'p')
            AND c.relname NOT IN ('schema_migrations', 'schema_objects')
        ORDER BY c.relname
    LOOP
        EXECUTE format('ALTER TABLE chunk_sync.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', v_table.name);
        FOREACH v_policy IN ARRAY '{owner,owner_itself,engine,tenant,operator}'::name[] LOOP
            EXECUTE format('DROP POLICY IF EXISTS %I ON chunk_sync.%I', v_policy, v_table.name);
        END LOOP;
        EXECUTE format('CREATE POLICY owner ON chunk_sync.%I TO CURRENT_USER USING (true)', v_table.name);
        -- Restrictive: before PostgreSQL 16 the owner inherits the engine's policy too.
        EXECUTE format('CREATE POLICY owner_itself ON chunk_sync.%I AS RESTRICTIVE TO CURRENT_USER USING (%s)',
            v_table.name, format(c_itself, current_user));
        EXECUTE format('CREATE POLICY engine ON chunk_sync.%I TO chunk_sync_app USING (true)', v_table.name);
        IF v_table.tenants IS NOT NULL THEN
            EXECUTE format('CREATE POLICY tenant ON chunk_sync.%I FOR SELECT TO chunk_sync_tenant USING (%s)',
                v_table.name, v_table.tenants);
        END IF;
        IF v_table.operators IS NOT NULL THEN
            EXECUTE format('CREATE POLICY operator ON chunk_sync.%I TO chunk_sync_operator USING (%s)', v_table.name,
                v_table.operators);
        END IF;
    END LOOP;
END $$;
