"""Commands of the project itself, beside the wrappers for the shell."""
