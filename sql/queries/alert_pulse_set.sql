-- Alerts were looked at.
INSERT INTO alert_pulse (what) VALUES ('alerts') ON CONFLICT (what) DO UPDATE SET at = clock()
