"""What surrounds the pass of an evaluation: which checkpoints, more measures, samples, results."""
