"""This machine: the embedded PostgreSQL and the processes that `chunk-sync up` keeps running."""
