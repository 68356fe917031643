"""Converts palette masks to grey index masks: DeepLab's name for `datasets.index_masks`.

The converter reads palette masks as they are, so this is for other code that needs grey ones.
"""

from __future__ import annotations

import os
import runpy
import sys

if __name__ == "__main__":
    # So that it runs from any folder, and in place of this one.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    runpy.run_module("datasets.index_masks", run_name="__main__", alter_sys=True)
