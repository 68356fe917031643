"""The heads, one file each: features to finer features, and features to logits."""
