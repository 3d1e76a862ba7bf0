"""The command line: `./chunk-sync`. Each command reads its words, calls one use case and prints."""
