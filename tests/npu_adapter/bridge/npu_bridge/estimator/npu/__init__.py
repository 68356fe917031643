"""Hooks and optimizers."""
