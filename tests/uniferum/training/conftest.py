"""Make the tiny training beside these tests importable; some tests also start it as a program."""
