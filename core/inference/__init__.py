"""Photos of any size to files: networks to answer with, windows, resizing, masks, overlays."""
