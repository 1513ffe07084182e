"""What is shown: words for numbers, lines, live views, the terminal."""
