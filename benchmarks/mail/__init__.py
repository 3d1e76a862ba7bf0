"""A mailbox pulled side by side: raw socket, IMAP libraries, mbsync, dlt, and ours, alone and through Dagster."""
