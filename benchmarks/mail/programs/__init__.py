"""The programs that pull the mailbox, each a process of its own; those of libraries run in their environments."""
