"""``anyfast doctor``."""
