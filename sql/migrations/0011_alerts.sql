-- Alerts: what is alarming becomes a row that opens and resolves, and who is told of it a row for each message. See
-- docs/alerts.md.

-- squawk-ignore-file require-concurrent-index-creation

-- Where messages go. The target is a reference (env:NAME, file:PATH, sealed:TOKEN) to one of apprise's URLs, never the
-- URL itself, which is a secret.
CREATE TABLE alert_routes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint REFERENCES tenants ON DELETE CASCADE,  -- NULL: the whole system and every tenant
    name text NOT NULL UNIQUE CHECK (name <> ''),
    min_level text NOT NULL DEFAULT 'warn' CHECK (min_level IN ('warn', 'critical')),
    target text NOT NULL CHECK (target ~ '^(env|file|sealed):.'),
    max_per_hour integer NOT NULL DEFAULT 20 CHECK (max_per_hour BETWEEN 1 AND 1000),
    repeat_every interval CHECK (repeat_every >= '1 minute'),  -- NULL: an alert is told once
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT clock()
);

-- One of a signal, tenant and subject is open at most.
CREATE TABLE alerts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    signal text NOT NULL,                        -- of health_alerts, or system_silent
    tenant_id bigint REFERENCES tenants ON DELETE CASCADE,  -- NULL: the whole system
    subject text NOT NULL DEFAULT '',            -- the mailbox, job or route that it is about
    level text NOT NULL CHECK (level IN ('warn', 'critical')),  -- the worst since it opened
    value double precision NOT NULL,             -- when it was seen last; so are the next two
    threshold double precision,
    message text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock(),
    last_seen_at timestamptz NOT NULL DEFAULT clock(),
    times_seen integer NOT NULL DEFAULT 1,
    resolved_at timestamptz,
    acknowledged_at timestamptz,                 -- of this level: an alert that grows worse is nobody's again
    acknowledged_by text
);
CREATE UNIQUE INDEX alerts_open ON alerts (signal, tenant_id, subject) NULLS NOT DISTINCT WHERE resolved_at IS NULL;
CREATE INDEX alerts_resolved ON alerts (resolved_at) WHERE resolved_at IS NOT NULL;

-- A message, from when it was decided on. It waits until next_at, is claimed by moving that on, and ends as sent, or
-- as failed after its last attempt; what was held back is kept too, with why.
CREATE TABLE alert_deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL REFERENCES alerts ON DELETE CASCADE,
    tenant_id bigint REFERENCES tenants ON DELETE CASCADE,  -- the alert's
    route_id bigint REFERENCES alert_routes ON DELETE SET NULL,
    route text NOT NULL,                         -- its name, which outlives it
    kind text NOT NULL CHECK (kind IN ('opened', 'escalated', 'repeated', 'resolved')),
    level text NOT NULL CHECK (level IN ('warn', 'critical')),
    status text NOT NULL CHECK (status IN ('waiting', 'sent', 'failed', 'suppressed')),
    why text CHECK (why IN ('silenced', 'acknowledged', 'rate_limit', 'route_removed')),
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT clock(),
    last_error text,
    created_at timestamptz NOT NULL DEFAULT clock(),
    ended_at timestamptz,
    CONSTRAINT what_is_held_back_says_why CHECK ((status = 'suppressed') = (why IS NOT NULL)),
    CONSTRAINT what_waits_has_not_ended CHECK ((status = 'waiting') = (ended_at IS NULL))
);
CREATE INDEX alert_deliveries_due ON alert_deliveries (next_at) WHERE status = 'waiting';
CREATE INDEX alert_deliveries_alert ON alert_deliveries (alert_id, route_id, id);
CREATE INDEX alert_deliveries_route ON alert_deliveries (route_id, created_at);
CREATE INDEX alert_deliveries_failed ON alert_deliveries (ended_at) WHERE status = 'failed';
-- A recovery is told once, whoever notices it.
CREATE UNIQUE INDEX alert_deliveries_recovery ON alert_deliveries (alert_id, route_id) WHERE kind = 'resolved';

-- Times in which nothing is sent about some alerts; NULL: about any.
CREATE TABLE alert_silences (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint REFERENCES tenants ON DELETE CASCADE,  -- NULL: every tenant's and the whole system's
    signal text,
    subject text,
    starts_at timestamptz NOT NULL DEFAULT clock(),
    ends_at timestamptz NOT NULL CHECK (ends_at >= starts_at),
    created_by text NOT NULL,
    reason text NOT NULL
);

-- Signs of life: the last time that alerts were looked at. The dead-man's switch waits for them.
CREATE TABLE alert_pulse (
    what text PRIMARY KEY CHECK (what IN ('alerts')),
    at timestamptz NOT NULL DEFAULT clock()
);

INSERT INTO health_thresholds (signal, warn_above, critical_above, span) VALUES
('deliveries_failed', 0, 10, '1 hour');          -- messages about alerts that were given up within the span
INSERT INTO retention_policies (what, keep) VALUES
('alerts', '90 days');                           -- after they were resolved, with their deliveries; silences likewise
