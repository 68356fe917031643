"""The devices, one file each, and the helpers of the NPU."""
