"""One call: what it asks, under which policies, its attempts, clocks and ledger."""
