"""Where the time goes before a run's first line, what a run and a chunk leave in Dagster's tables."""
