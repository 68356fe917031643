"""What the verbs do: each module has a `main` that takes the `Config` of its verb."""
