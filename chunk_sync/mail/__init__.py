"""MAIL: sources of messages (IMAP, archives) and the parser. No database, no Dagster."""
