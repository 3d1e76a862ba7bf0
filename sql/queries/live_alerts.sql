-- What is alarming now, critical ones first.
SELECT a.signal, a.level, a.value, a.message FROM health_alerts AS a
ORDER BY a.level, a.signal, a.message
LIMIT %(limit)s
