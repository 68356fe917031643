"""How a step runs on a device; knows nothing of segmentation."""
