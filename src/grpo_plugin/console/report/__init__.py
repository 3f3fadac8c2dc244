"""The HTML report: one file with the curves, completions and facts of one or several runs."""
