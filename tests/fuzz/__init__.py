"""Readers under bytes that a program thought of."""
