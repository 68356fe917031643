"""The golden numbers of FCN and DeepLabV3 in PyTorch's form, made by the ABEJA template."""
