"""ALERTS: what is alarming becomes messages to people. Pure decisions, and the one place that sends."""
