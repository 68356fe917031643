"""Holds v1."""
