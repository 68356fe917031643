"""The forms of FC-HarDNet's manifests: `logits` and `train`."""
