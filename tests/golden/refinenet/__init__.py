"""The golden numbers of the RefineNet system for map data.

Manifests hold the system's own configuration; names are those of its golden README, `form` is the
wiring: `original`, whose fusion takes raw inputs, or `corrected`.
"""
