"""Labels from report text (paper 3.4.3): keywords find candidates, a labeller judges them.

Report text is read, judged and forgotten: no output, log, cache or file name ever holds a word of it.
"""
