"""``anyfast batch``."""
