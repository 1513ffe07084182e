"""What a client is made of beside its verbs: its calls, what it shares, what is on its way."""
