"""The page of all flags."""

import json

from scripts import document_flags
from tests.resources import golden_json


def test_the_flags_of_the_reference_are_marked():
    entries = golden_json("flags.json")["entries"]
    marked = json.loads(document_flags.REFERENCE.read_text(encoding="utf-8"))
    for command, counterparts in {
        "train_npu.py": ["train_npu (train and evaluate)"],
        "vis.py": ["vis"],
        "export_model.py": ["export_model"],
        "datasets.convert": [name for name in entries if name.startswith("build_")],
        "datasets.index_masks": ["remove_gt_colormap"],
    }.items():
        assert set(marked[command]) == {name for entry in counterparts for name in entries[entry]}
