"""Converts VOC with the augmented training split: `datasets.convert voc_aug` from any folder."""

from __future__ import annotations

import os
import runpy
import sys

if __name__ == "__main__":
    # So that it runs from any folder, and in place of this one.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.argv[1:1] = ["voc_aug"]
    runpy.run_module("datasets.convert", run_name="__main__", alter_sys=True)
