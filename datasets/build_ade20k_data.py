"""Converts ADE20K to records: DeepLab's name for `datasets.convert ade20k`."""

from __future__ import annotations

import os
import runpy
import sys

if __name__ == "__main__":
    # So that it runs from any folder, and in place of this one.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.argv[1:1] = ["ade20k", "--output_dir=./ADE20K/tfrecord"]
    runpy.run_module("datasets.convert", run_name="__main__", alter_sys=True)
