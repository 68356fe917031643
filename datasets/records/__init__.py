"""Records of images and masks: written, read, checked and cached."""
