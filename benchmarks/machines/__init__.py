"""What Celery's workers do for runs: chunks a second and the cost of a run, beside the launcher of one machine."""
