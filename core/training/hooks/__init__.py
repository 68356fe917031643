"""What happens at the end of a loop: saving, logging, stopping. One hook a file, one job a hook.

A hook's `after_run` is called once per loop of `iterations_per_loop` steps. An interval that is no
multiple of the loop is therefore rounded up to the next loop end.
"""
