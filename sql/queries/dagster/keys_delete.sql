-- Partition keys that are to go: Dagster's API deletes one at a time, each in a transaction of its own.
DELETE FROM dynamic_partitions WHERE partitions_def_name = %(name)s AND partition = ANY (%(keys)s::text[])
