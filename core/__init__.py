"""The network, and what is done with it: training, evaluation, checkpoints."""
