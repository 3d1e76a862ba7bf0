"""What Dagster costs a chunk: one run over a range of chunks beside one run for each chunk."""
