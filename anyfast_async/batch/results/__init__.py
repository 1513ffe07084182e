"""What a batch left behind, read back and written as tables."""
