"""Labels from report text (paper 3.4.3): keywords select candidates, a labeller judges them.

Report text is only read and judged: no output, log, cache or file name contains any of it.
"""
