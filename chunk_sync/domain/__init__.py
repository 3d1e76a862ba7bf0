"""PURE: chunks, plans, partition keys, dispatch, progress. No clock, no I/O, no third-party imports."""
