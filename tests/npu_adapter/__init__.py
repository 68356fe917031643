"""A stand-in for the Ascend adapter that runs on CPU, written from public information about it.

`bridge/` and `device/` have the two layouts (npu_bridge, and npu_device with compat.v1); put one of
them on PYTHONPATH. Where the real adapter ignores a mistake, this one raises an error.
"""
