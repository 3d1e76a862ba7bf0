-- Message-IDs that nobody had mentioned before.
INSERT INTO thread_nodes (mailbox_id, id_hash, tenant_id, landed_in)
SELECT %(mailbox_id)s, n.id_hash, %(tenant_id)s, n.landed_in
FROM unnest(%(ids)b::uuid[], %(landed_in)b::bigint[]) AS n (id_hash, landed_in)
