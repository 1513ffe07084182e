"""``anyfast chat``: one answer, or a session."""
