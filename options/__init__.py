"""What can be asked of a command: option records, without TensorFlow."""
