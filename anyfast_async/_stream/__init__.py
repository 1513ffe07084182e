"""One streamed answer: the side on which it arrives, and the side that is read."""
