"""``anyfast results``."""
