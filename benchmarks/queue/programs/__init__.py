"""What runs in the processes: a program a system, all with the same verbs, told and answering in lines of JSON."""
