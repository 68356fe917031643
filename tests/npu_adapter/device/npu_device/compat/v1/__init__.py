"""The parts of the adapter for graphs and sessions of TensorFlow 1."""
