"""A run on disk: answers, failures, a log of what was sent, and what it has cost."""
