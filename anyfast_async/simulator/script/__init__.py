"""What a test told the simulator to do."""
