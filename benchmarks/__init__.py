"""One script per figure; each prints a ratio from one run."""
