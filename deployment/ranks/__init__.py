"""Processes that train together: who they are, and what they exchange."""
