"""The clocks of calls and streams, the sleep of the machine, the loop of a notebook."""
