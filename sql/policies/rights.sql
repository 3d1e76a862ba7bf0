-- What a role may do with the rows that rows.sql lets it see, and which functions it may call. Nobody else may
-- anything: what a function may do is what its caller may, for none runs with its owner's rights.
REVOKE ALL ON ALL TABLES IN SCHEMA chunk_sync FROM PUBLIC, chunk_sync_app, chunk_sync_tenant, chunk_sync_operator;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA chunk_sync FROM PUBLIC, chunk_sync_app, chunk_sync_tenant, chunk_sync_operator;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA chunk_sync FROM PUBLIC, chunk_sync_app, chunk_sync_tenant, chunk_sync_operator;
REVOKE ALL ON SCHEMA chunk_sync FROM PUBLIC;
GRANT USAGE ON SCHEMA chunk_sync TO chunk_sync_app, chunk_sync_tenant, chunk_sync_operator;

-- The engine: every row of every tenant. Of the audit log it may only add to what is there, and it may not say when
-- that was nor under which login; of the migrator's books it may only read.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA chunk_sync TO chunk_sync_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA chunk_sync TO chunk_sync_app;
GRANT UPDATE ON SEQUENCE lane_clock TO chunk_sync_app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA chunk_sync TO chunk_sync_app;
REVOKE INSERT, UPDATE, DELETE ON audit_log, schema_migrations, schema_objects FROM chunk_sync_app;
GRANT INSERT (actor, action, tenant_id, sync_job_id, chunks_affected, reason, run_id, details) ON audit_log
TO chunk_sync_app, chunk_sync_operator;

-- A tenant: reads its own, changes nothing. Without where its passwords are, without the names behind the audit log,
-- and of the workers only what the status and the health views count.
GRANT SELECT ON
tenants, folders, sync_jobs, sync_job_folders, sync_chunks, archived_sync_jobs, chunk_processing_queue, mailbox_lanes,
tenant_lanes, messages, message_bodies, message_raw, message_locations, attachments, quarantined_messages,
threads, thread_nodes, thread_messages, emails, email_threads, message_search, mail_problems,
chunked_sync_health_monitoring, health_thresholds, chunk_processing_status, chunked_sync_health_summary, health_alerts,
attempt_hours, health_history, tenant_slas, sla_states, mailbox_costs, folder_speed, error_hot_spots,
forecasts, provider_quotas, quota_shares
TO chunk_sync_tenant;
GRANT SELECT (id, public_id, tenant_id, name, address, provider, folders, created_at, paused_at, sync_every)
    ON mailboxes TO chunk_sync_tenant;
GRANT SELECT (id, at, action, tenant_id, sync_job_id, chunks_affected, reason, details)
    ON audit_log TO chunk_sync_tenant;
GRANT SELECT (id, lease_until, ended_at) ON workers TO chunk_sync_tenant;
-- Its alerts and whether it was told, not where operators have them sent.
GRANT SELECT (
    id, signal, tenant_id, subject, level, value, threshold, message, opened_at, last_seen_at, times_seen, resolved_at,
    acknowledged_at
) ON alerts TO chunk_sync_tenant;
GRANT SELECT (id, alert_id, tenant_id, kind, level, status, why, attempts, created_at, ended_at)
    ON alert_deliveries TO chunk_sync_tenant;
GRANT SELECT (id, tenant_id, signal, subject, starts_at, ends_at, reason) ON alert_silences TO chunk_sync_tenant;
GRANT EXECUTE ON FUNCTION
get_sync_job_progress_safe, get_system_health_metrics, get_queue_health_summary, search_messages,
clock, plan_is_free, quotas_used                 -- called by the views
TO chunk_sync_tenant;

-- An operator: sees the queue, health and the audit log of all tenants and no message; sets right what is stuck.
GRANT SELECT ON
tenants, sync_jobs, sync_chunks, archived_sync_jobs, chunk_processing_queue, mailbox_lanes, tenant_lanes,
provider_lanes, dispatches, workers, chunked_sync_health_monitoring, audit_log, queue_rules, retry_policies,
health_thresholds, retention_policies, schema_migrations, chunk_processing_status, chunked_sync_health_summary,
    health_alerts, attempt_hours, health_history, tenant_slas, sla_states, mailbox_costs, folder_speed,
    error_hot_spots, chunk_sync_metrics, attempt_totals, forecasts, scaling_state, progress_marks,
    progress_samples,
    scaling_wanted, sla_deadlines, provider_quotas, quota_shares
TO chunk_sync_operator;
GRANT SELECT (id, public_id, tenant_id, name, provider, created_at, paused_at) ON mailboxes TO chunk_sync_operator;
GRANT SELECT ON alerts, alert_deliveries, alert_silences, alert_pulse TO chunk_sync_operator;
GRANT SELECT (id, tenant_id, name, min_level, max_per_hour, repeat_every, enabled, created_at)
    ON alert_routes TO chunk_sync_operator;
GRANT EXECUTE ON FUNCTION
get_sync_job_progress_safe, get_system_health_metrics, get_queue_health_summary, lane_drift,
cleanup_stuck_chunks, reset_stuck_chunks, recover_plans, repair_lanes,
force_reset_chunk, reset_sync_job_chunks, reopen_chunk, cancel_sync, pause_sync, resume_sync, archive_sync_job,
reopen_sync_job, prioritize_sync_job, recover_by_hand, quotas_used
TO chunk_sync_operator;
-- What these do in its name:
GRANT EXECUTE ON FUNCTION
clock, new_uuid, plan_is_free, class_of, turn_of, sync_jobs_in, paused_lanes, mark_paused, audit_pause, archive_job,
recover_expired_leases, recover_chunks, reopen_chunks, end_attempt, fail_plan, retry_delay_ms, retry_policy, backoff_ms,
under_stress, settle_sync_job, settle_sync_jobs, turn_sync_job, lock_lanes, refresh_lane, put_back, held_by
TO chunk_sync_operator;
GRANT UPDATE (
    status, priority, available_at, turn_at, started_at, completed_at, worker_id, attempts, lost_leases, error_category,
    emails_inserted, emails_unchanged, emails_absent, emails_quarantined, bytes_processed
) ON chunk_processing_queue TO chunk_sync_operator;
GRANT UPDATE (version, held, paused, head_class, vtime, low_turn_at, low_chunk_id, wake_at, breaker) ON mailbox_lanes
TO chunk_sync_operator;
GRANT UPDATE (
    status, priority, plan_available_at, plan_dispatched_until, plan_worker_id, completed_chunks, failed_chunks,
    cancelled_chunks, emails_processed, bytes_processed, error_category, error_message, last_completed_at,
    completed_at, paused_at
) ON sync_jobs TO chunk_sync_operator;
GRANT UPDATE (reported_at) ON sync_chunks TO chunk_sync_operator;
GRANT UPDATE (paused_at) ON mailboxes, tenant_lanes TO chunk_sync_operator;
GRANT UPDATE (ended_at) ON workers TO chunk_sync_operator;
GRANT UPDATE (ended_at) ON dispatches TO chunk_sync_operator;
GRANT INSERT, UPDATE (suggested_retry_delay_ms) ON chunked_sync_health_monitoring TO chunk_sync_operator;
GRANT INSERT, UPDATE ON archived_sync_jobs TO chunk_sync_operator;
GRANT SELECT ON SEQUENCE lane_clock TO chunk_sync_operator;
GRANT USAGE ON SEQUENCE lane_openings TO chunk_sync_operator;
