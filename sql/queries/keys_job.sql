-- How many chunks a job has, so how many partition keys.
SELECT total_chunks FROM sync_jobs WHERE id = %(job_id)s
