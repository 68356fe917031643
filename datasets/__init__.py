"""From annotated images to TFRecords, and from TFRecords to batches."""
