-- What was ever done, for counters that never go down: the hours of attempt_hours that are over, added up before
-- retention takes them. fold_attempt_hours() does it.

CREATE TABLE attempt_totals (
    tenant_id bigint NOT NULL,
    status attempt_status NOT NULL,
    error_category error_category,
    attempts bigint NOT NULL,
    emails bigint NOT NULL,
    bytes bigint NOT NULL,
    requests bigint NOT NULL,
    ms bigint NOT NULL,
    until timestamptz NOT NULL,                  -- the same in all rows: the hours before it are in them
    UNIQUE NULLS NOT DISTINCT (tenant_id, status, error_category)
);
