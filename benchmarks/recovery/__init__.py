"""How long until the work of a dead process is done by another."""
