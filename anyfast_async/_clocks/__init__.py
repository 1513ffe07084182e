"""The clocks of calls and streams, and the sleep of the machine."""
