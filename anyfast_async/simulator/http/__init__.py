"""The simulated gateway as a server: requests in, deliveries out."""
