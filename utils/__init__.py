"""Leaf helpers: they import nothing else of this project."""
