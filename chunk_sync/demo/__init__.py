"""DEMO: realistic mail without a mailbox: a deterministic generator and a Maildir writer.

Pure functions of a seed, plus one writer (`maildir`). Standard library only, and nothing is read from
the machine: the same seed gives the same bytes everywhere.
"""
