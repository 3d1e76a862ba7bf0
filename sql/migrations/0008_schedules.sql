-- Mailboxes that are synced again by themselves.

-- A new sync is asked for so long after the one before was; NULL: only when somebody asks.
ALTER TABLE mailboxes
ADD COLUMN sync_every interval CONSTRAINT mailboxes_sync_every_check CHECK (sync_every >= '1 minute');
