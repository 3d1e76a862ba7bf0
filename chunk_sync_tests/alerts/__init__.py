"""Alerts: what is decided, what is written, and what real receivers get."""
