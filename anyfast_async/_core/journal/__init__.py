"""The lines of a journal, and what can be told from them."""
