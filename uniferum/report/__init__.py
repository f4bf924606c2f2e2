"""The report: tables, figures, tests and a page, made from recorded predictions and metrics."""
