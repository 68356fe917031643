"""Session hooks, called at the end of each loop: saving, logging, evaluation, stopping.

A hook's `after_run` is called once per loop of `iterations_per_loop` steps. An interval that is not
a multiple of the loop is therefore rounded up to the next end of a loop.
"""
