"""Images, masks and archives on disk."""
