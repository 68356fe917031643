"""Inference equals the stored numbers of the reference."""

import numpy as np
import pytest

from core import network
from tests.golden import __main__ as golden
from tests.golden import compare, logits
from tests.resources import golden_folder

# Small networks that together have both stems, a MobileNet, a decoder and both output strides.
_QUICK = ("r18_os16", "r18beta_os8", "mnv2_dm075_div8_decoder4")

# Manifest -> backbone.
_MANIFESTS = {
    "mnv2_dm05_os8": "mobilenet_v2",
    "mnv2_dm075_div8_decoder4": "mobilenet_v2",
    "mnv2_os16": "mobilenet_v2",
    "mnv2_os8_aspp": "mobilenet_v2",
    "mnv3large_os16": "mobilenet_v3_large_seg",
    "mnv3small_os16": "mobilenet_v3_small_seg",
    "r101_os16": "resnet_v1_101",
    "r101_os16_321": "resnet_v1_101",
    "r101_os8": "resnet_v1_101",
    "r101_os8_photo161": "resnet_v1_101",
    "r101beta_os16": "resnet_v1_101_beta",
    "r101beta_os16_321": "resnet_v1_101_beta",
    "r101beta_os8_photo161": "resnet_v1_101_beta",
    "r18_os16": "resnet_v1_18",
    "r18beta_os8": "resnet_v1_18_beta",
    "r50_os16_even96_mgnone": "resnet_v1_50",
    "r50_os16_noproj": "resnet_v1_50",
    "r50_os16_se_filters64": "resnet_v1_50",
    "r50_os16_se_qsigmoid": "resnet_v1_50",
    "r50_os16_sum_merge": "resnet_v1_50",
    "r50_os32": "resnet_v1_50",
    "r50_os8_batch2": "resnet_v1_50",
    "r50beta_os16_cropnone_75x107": "resnet_v1_50_beta",
    "r50beta_os16_decoder4": "resnet_v1_50_beta",
    "r50beta_os16_decoder4_noseparable": "resnet_v1_50_beta",
    "r50beta_os16_dpc": "resnet_v1_50_beta",
    "r50beta_os16_nobn_aspp": "resnet_v1_50_beta",
    "r50beta_os16_noimagelevel_65x129": "resnet_v1_50_beta",
    "r50beta_os16_pooling65": "resnet_v1_50_beta",
    "r50beta_os16_prob_then_resize": "resnet_v1_50_beta",
    "r50beta_os16_pyramid_avg": "resnet_v1_50_beta",
    "r50beta_os16_pyramid_max": "resnet_v1_50_beta",
    "x41_os16_bounded": "xception_41",
    "x41_os16_decoder4": "xception_41",
    "x65_os16": "xception_65",
    "x71_os16_decoder4": "xception_71",
}

# Largest absolute difference by what an array's name contains; the first that fits counts.
_TOLERANCES = (("labels", None), ("prob", 1e-4), ("logits", 5e-4), ("point", 5e-4))
_LABELS_EQUAL = 0.999


def _parameters() -> list:
    names = [name for name, backbone in _MANIFESTS.items() if backbone in network.BACKBONES]
    return [
        name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names
    ]


@pytest.mark.parametrize("name", _parameters())
def test_inference_equals_the_reference(name):
    path = golden_folder() / "logits" / f"{name}.json"
    manifest = golden.read(path)
    actual = logits.recompute(manifest, golden.root(path))
    expected = golden.stored(path, manifest, logits)
    assert set(actual) == set(expected)
    for array, values in expected.items():
        tolerance = next(limit for part, limit in _TOLERANCES if part in array)
        if tolerance is None:
            assert compare.share_equal(actual[array], values) >= _LABELS_EQUAL, array
        else:
            assert compare.largest_difference(actual[array], values) <= tolerance, array


def test_every_stored_manifest_is_compared():
    stored = {path.stem for path in (golden_folder() / "logits").glob("*.json")}
    assert stored == set(_MANIFESTS)


def test_multi_scale_probabilities_sum_to_one_where_those_of_the_reference_do_not():
    path = golden_folder() / "logits" / "r101_os16.npz"
    with np.load(path) as stored:
        right, wrong = stored["ms0_mean_of_probs"], stored["ms0_prob"]
    np.testing.assert_allclose(right.sum(-1), 1.0, atol=1e-5)
    assert np.abs(wrong - right).max() > 0.01
