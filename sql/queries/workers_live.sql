-- Runs that hold a lease, as far as the database knows.
SELECT DISTINCT run_id FROM workers WHERE ended_at IS NULL AND run_id IS NOT NULL
