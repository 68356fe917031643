"""The names of the DeepLab family's flags."""

import pytest

from options import family, refused
from options.config import record_classes
from tests.resources import golden_json

COUNTERPARTS = {
    "train": ["train_npu (train and evaluate)", "package layout: train"],
    "evaluate": ["train_npu (train and evaluate)", "package layout: eval"],
    "visualize": ["vis", "package layout: vis"],
    "export": ["export_model", "package layout: export_model"],
    "convert": ["build_voc2012_data", "build_cityscapes_data", "build_ade20k_data"],
    "index_masks": ["remove_gt_colormap"],
}


@pytest.mark.parametrize("verb", family.BY_VERB)
def test_the_names_are_those_that_the_reference_prints(verb):
    entries = golden_json("flags.json")["entries"]
    expected = {name for entry in COUNTERPARTS[verb] for name in entries[entry]}
    assert family.BY_VERB[verb] == expected


def test_each_is_an_option_here_or_in_a_table_that_says_why_not():
    known = {name for record in record_classes().values() for name in record.names()}
    unknown = family.NAMES - known - set(refused.REFUSED) - set(refused.IGNORED)
    assert unknown == set()
