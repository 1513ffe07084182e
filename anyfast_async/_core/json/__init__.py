"""JSON text to values, values to answers, and back."""
