"""Tests against a gateway out of its mind."""
