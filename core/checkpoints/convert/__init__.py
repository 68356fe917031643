"""Weights of other frameworks and systems: their names and arrays as those of this project."""
