"""Whole mailboxes into PostgreSQL, in chunks that resume, as a Dagster project."""

__version__ = "0.3.0"
