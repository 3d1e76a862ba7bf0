-- What is alarming now.
SELECT signal, level, value, threshold, message, tenant_id, subject FROM health_alerts
