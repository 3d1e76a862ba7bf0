-- What is alarming now, as alerts know it.
SELECT h.signal, h.tenant_id, h.subject, h.level, h.value, h.threshold, h.message FROM health_alerts AS h
