"""Images, masks and run lengths as bytes, arrays and tensors."""
