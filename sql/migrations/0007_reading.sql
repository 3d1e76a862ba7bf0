-- Reading what landed: attachments by their content, what could not be read, and words to search for, where that is
-- turned on (enable_search).

-- squawk-ignore-file require-concurrent-index-creation

-- Who has the same attachment: its bytes are in each message that carries it.
CREATE INDEX attachments_content ON attachments (tenant_id, sha256);

-- The few messages that are in the view mail_problems.
CREATE INDEX messages_problems ON messages (created_at) WHERE parse_status <> 'ok';

-- A message as search sees it. Empty, and without its GIN index, while search is off.
CREATE TABLE message_search (
    message_id bigint PRIMARY KEY REFERENCES messages ON DELETE CASCADE,
    tenant_id bigint NOT NULL,
    document tsvector NOT NULL
);
-- For a tenant under row security: PostgreSQL asks a GIN index only once it is sure whose the rows are.
CREATE INDEX message_search_tenant ON message_search (tenant_id);
