"""Bytes of a streamed answer to the completion that they amount to."""
