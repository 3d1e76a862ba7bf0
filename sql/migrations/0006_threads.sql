-- Conversations, put together while mail lands. What lands is only ever added; what turns out to belong together is
-- said in `threads` alone, so joining two long threads changes a handful of rows. See docs/decisions/0014.

-- A thread as it began. What it has become part of since stands in its own row, always the last answer and never a
-- chain: `conversation_id` is the oldest row of all that headers link, `thread_id` the oldest one of the thread, which
-- is what people see: conversations, and those that join them by subject. A row never goes, so an id that somebody
-- kept leads to the thread of today. The last two columns count in a conversation's own row (conversation_id = id).
CREATE TABLE threads (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id uuid NOT NULL UNIQUE DEFAULT new_uuid(),
    tenant_id bigint NOT NULL,
    mailbox_id bigint NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
    conversation_id bigint NOT NULL,
    thread_id bigint NOT NULL,
    first_message_id bigint NOT NULL,            -- the conversation's earliest message
    parent_message_id bigint,                    -- what that one answers by its subject; NULL: nothing
    CHECK (conversation_id <= id AND thread_id <= id)
) WITH (fillfactor = 80);
CREATE INDEX threads_thread ON threads (thread_id);
CREATE INDEX threads_mailbox ON threads (mailbox_id);

-- Every Message-ID that a message has or mentions, its own message landed or not, by the first half of its SHA-256.
CREATE TABLE thread_nodes (
    mailbox_id bigint NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
    id_hash uuid NOT NULL,
    tenant_id bigint NOT NULL,
    landed_in bigint NOT NULL,                   -- the row of threads
    PRIMARY KEY (mailbox_id, id_hash)
);

-- Every message that has its thread, with what joining by subject asks of it.
CREATE TABLE thread_messages (
    message_id bigint PRIMARY KEY REFERENCES messages ON DELETE CASCADE,
    tenant_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    landed_in bigint NOT NULL,                   -- the row of threads
    raw_sha256 bytea NOT NULL,
    sent_at timestamptz,
    subject_key bigint,                          -- of the base subject; NULL: takes no part
    sender bigint,                               -- a hash of the address, as in people
    people bigint[] NOT NULL,                   -- from, to and cc
    is_reply boolean NOT NULL                    -- says so in its subject, and has no reply headers
);
CREATE INDEX thread_messages_thread ON thread_messages (landed_in);
CREATE INDEX thread_messages_subject ON thread_messages (mailbox_id, subject_key, sent_at)
WHERE subject_key IS NOT NULL;
CREATE INDEX thread_messages_replies ON thread_messages (mailbox_id, subject_key, sent_at) WHERE is_reply;
