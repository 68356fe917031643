"""Records to batches: preprocessing and augmentation."""
