"""DeepLabV2, V3, V3+ and the dense prediction cell: one network behind a backbone."""
