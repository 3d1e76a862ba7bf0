"""The queue beside other queues of PostgreSQL: the same server, the same work, each through its own library."""
