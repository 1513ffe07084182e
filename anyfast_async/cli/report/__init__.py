"""``anyfast report``."""
