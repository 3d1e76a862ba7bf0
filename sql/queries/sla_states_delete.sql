-- Make room for how the promises stand now.
DELETE FROM sla_states
