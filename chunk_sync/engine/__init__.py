"""USE CASES: plan a job, run chunks, recover, verify. Knows the store and the mail room; knows no Dagster."""
