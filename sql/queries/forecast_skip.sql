-- There was nothing to say about a job: ask again later.
UPDATE progress_marks SET forecast_at = clock() WHERE sync_job_id = %(sync_job_id)s
