-- One planned chunk.
INSERT INTO sync_chunks (
    tenant_id, mailbox_id, sync_job_id, chunk_index, folder_id, uidvalidity, uids, provider_ids, start_offset,
    end_offset, estimated_emails, estimated_bytes
) VALUES (
    %(tenant_id)s, %(mailbox_id)s, %(job_id)s, %(chunk_index)s, %(folder_id)s, %(uidvalidity)s, %(uids)s,
    %(provider_ids)s, %(start_offset)s, %(end_offset)s, %(emails)s, %(bytes)s
)
