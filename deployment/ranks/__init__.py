"""Processes that train together: their ranks, connections and collectives."""
