"""Tools for models: a function to what a model is told of it, and the rounds in which it is called."""
