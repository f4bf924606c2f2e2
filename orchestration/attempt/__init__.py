"""One attempt at a cell inside a worker process: its log, its failures, its progress; needs no Ray."""
