"""The tiny training beside these tests is a module that they import and a program that they start."""
