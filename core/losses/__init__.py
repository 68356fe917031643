"""Losses, one file per loss."""
