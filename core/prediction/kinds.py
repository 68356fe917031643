"""What can be saved of a predicted image, and what the files are called; needs no TensorFlow."""

from __future__ import annotations

# Kind -> the end of its file's name; run lengths of all images share one file.
SUFFIXES = {
    "index": "_index.png",
    "palette": "_palette.png",
    "overlay": "_overlay.png",
    "prob": "_prob.npz",
}
RLE = "rle"
KINDS = (*SUFFIXES, RLE)
