"""DAGSTER: assets, ops, jobs, sensors, resources. Reads the context, calls one use case, logs metadata."""
