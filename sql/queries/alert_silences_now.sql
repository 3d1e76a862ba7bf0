-- Silences that hold at this moment.
SELECT s.tenant_id, s.signal, s.subject FROM alert_silences AS s
WHERE s.starts_at <= clock() AND s.ends_at > clock()
