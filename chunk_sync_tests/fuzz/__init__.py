"""Fuzzing of what reads strangers' bytes: programs to run by hand, and tests that run them for a few seconds."""
