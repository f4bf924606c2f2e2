"""Labels from report text (paper 3.4.3): keywords select candidates, a labeller judges them.

Report text is only read and judged: no output, log, cache or file name contains any of it.

Files:

    agreement   agreement of labels from reports with a human reader
    keywords    select the reports to judge for a label
    labelling   make a table of labels from reports
    llm         label reports with a language model at any endpoint with OpenAI's chat completions API
    rules       label reports offline by rules
"""
