-- Who may see and change what is in ../policies, which is put in again whenever it, or what it speaks of, changes.

-- People and the engine act as roles, so that `current_user`, an actor's default, names a role. The login behind it is
-- noted beside it by the database; of what was before nobody knows.
ALTER TABLE audit_log ADD COLUMN login text;
ALTER TABLE audit_log ALTER COLUMN login SET DEFAULT session_user;
