-- What changes at the source after a message has landed: flags, deletions, folders that go or get another name.
-- See docs/decisions/0013.

-- squawk-ignore-file ban-drop-constraint

ALTER TABLE folders
ADD COLUMN highest_modseq bigint NOT NULL DEFAULT 0,  -- the cursor of changes: flags up to it are known; 0: none yet
ADD COLUMN object_id text,                       -- the server's name for the folder that survives a renaming
ADD COLUMN gone_at timestamptz;                  -- the source does not list it any more

-- A location whose message is gone from the folder stays as a tombstone: what was there, and until when.
ALTER TABLE message_locations ADD COLUMN vanished_at timestamptz;
ALTER TABLE quarantined_messages ADD COLUMN vanished_at timestamptz;

ALTER TABLE sync_job_folders
ADD COLUMN highest_modseq bigint NOT NULL DEFAULT 0,
ADD COLUMN flags_changed bigint NOT NULL DEFAULT 0,
ADD COLUMN vanished bigint NOT NULL DEFAULT 0;

-- How many connections a mailbox bears at the moment: fewer after its provider has throttled it, NULL as many as its
-- limit says. Grows again by one for each quiet minute.
ALTER TABLE mailbox_lanes
ADD COLUMN allowed smallint CHECK (allowed >= 1),
ADD COLUMN allowed_at timestamptz;

-- `off`: the bytes were not to be kept; the row says so, and that they are not lost. The rows that are there need no
-- second look: the constraint before was narrower.
ALTER TABLE message_raw DROP CONSTRAINT message_raw_codec_check;
ALTER TABLE message_raw
ADD CONSTRAINT message_raw_codec_check CHECK (codec IN ('zstd', 'none', 'off')) NOT VALID;
