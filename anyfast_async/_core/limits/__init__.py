"""Rate limits, holds and estimates as arithmetic on a given time."""
