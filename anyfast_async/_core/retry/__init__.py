"""Whether and when to send again: backoff, delays that are asked for, outages, suspicion of rows."""
