"""Many prompts: the source, the workers, the results, and what ends a run early."""
