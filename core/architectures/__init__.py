"""The networks behind a backbone, one file or folder each: features to logits."""
