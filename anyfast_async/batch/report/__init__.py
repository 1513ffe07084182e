"""The page of a report on a run."""
