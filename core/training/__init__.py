"""What surrounds the loss of a training: gradients, averages, notices, times, the ways to end."""
