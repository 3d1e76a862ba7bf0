"""DEMO tests: the generator and its Maildir writer."""
