"""What the public values are checked with, and what is told from them."""
