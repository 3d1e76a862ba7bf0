-- One row of the roll-up.
INSERT INTO attempt_hours (
    hour, tenant_id, mailbox_id, provider, status, error_category, attempts, first_attempts, dead_letters, emails,
    planned_emails, bytes, requests, ms_sum, ms_min, ms_max, ms_p50, ms_p95, ratio_sum, ratio_max, ratio_count
)
VALUES (
    %(hour)s, %(tenant_id)s, %(mailbox_id)s, %(provider)s, %(status)s::attempt_status,
    %(error_category)s::error_category, %(attempts)s, %(first_attempts)s, %(dead_letters)s, %(emails)s,
    %(planned_emails)s, %(bytes)s, %(requests)s, %(ms_sum)s, %(ms_min)s, %(ms_max)s, %(ms_p50)s, %(ms_p95)s,
    %(ratio_sum)s, %(ratio_max)s, %(ratio_count)s
)
