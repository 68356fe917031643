"""A stand-in for the Ascend adapter: its packages, written from what is known of them, on a CPU.

`bridge/` and `device/` hold the two layouts (npu_bridge, and npu_device with compat.v1); put one of
them on PYTHONPATH. Where the real adapter keeps silent about a mistake, this one fails.
"""
