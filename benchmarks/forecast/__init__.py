"""How near forecasts are: synthetic workloads, replayed in simulated time. See ../README.md."""
