"""Decoding of images and masks, run lengths and colours."""
