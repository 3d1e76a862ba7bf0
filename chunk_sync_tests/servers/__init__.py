"""SERVERS: real IMAP servers for the tests, each started below a temporary directory of its own."""
