"""What a client allows itself: concurrency, requests and tokens a minute, a budget."""
