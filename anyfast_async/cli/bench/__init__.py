"""``anyfast bench``: an honest load test."""
