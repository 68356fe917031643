"""What can be done: one file per verb, each found by its name.

A verb says which options it takes and which module carries it out. None of these files imports
TensorFlow: the engine (`commands/engines/`) is imported once the options are known to be good.
"""
