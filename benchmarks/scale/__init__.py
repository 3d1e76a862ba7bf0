"""What holds at 100,000 chunks of one job and with a million chunks of history: ticks, pages, pruning."""
