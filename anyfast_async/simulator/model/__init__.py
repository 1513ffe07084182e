"""The simulated model: what it says, how fast, and how it is put into an answer."""
