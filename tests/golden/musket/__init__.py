"""The forms of the Keras experiment pipeline's manifests, and its rules for weights and images."""
