"""Tests of reports, and what they share."""
