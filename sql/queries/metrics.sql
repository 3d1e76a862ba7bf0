-- The samples of the view chunk_sync_metrics, for Prometheus.
SELECT m.name, m.kind, m.help, m.labels, m.value FROM chunk_sync_metrics AS m
