"""Who hears of calls: the hooks that observers may have, and the log, which is one of them."""
