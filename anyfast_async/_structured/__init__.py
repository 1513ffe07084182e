"""Structured output: a class to a JSON schema, and an answer's text to an instance of the class."""
