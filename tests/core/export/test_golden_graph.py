"""The outputs of frozen graphs equal those of the reference."""

import numpy as np
import pytest

from core.export import graph
from tests import resources, small_exports
from tests.golden import logits as golden_logits
from tests.golden import rules

QUICK = ["mnv2_dm05_os8"]
SLOW = [
    "r50beta_os16_prob_then_resize",
    "r18_os16",
    "r101_os8",
    "x41_os16_decoder4",
    "mnv3small_os16",
    "r50_os16_se_qsigmoid",
    "r50beta_os16_pyramid_max",
    "r50beta_os16_nobn_aspp",
    "x65_os16",
]


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_raw_nodes_equal_the_reference(name):
    folder = resources.golden_folder()
    config = resources.golden_json(f"logits/{name}.json")["config"]
    options = golden_logits.options_of(config, folder)
    exported = small_exports.network(options, config["crop"], 21, pad_color=(123.15, 115.9, 103.06))
    frozen = small_exports.freeze(exported, config.get("salt", ""))
    expected = np.load(folder / "logits" / f"{name}.npz")
    images = rules.images(config["images"], folder / "photos.npz").astype(np.uint8)
    outputs = small_exports.run_flexible(exported, frozen, *images)
    for index, found in enumerate(outputs):
        labels = found[graph.RAW_LABELS][0]
        assert np.mean(labels == expected["labels"][index]) >= 0.999
        probabilities = found[graph.RAW_PROBABILITIES][0, ::8, ::8]
        np.testing.assert_allclose(probabilities, expected["prob"][index], atol=1e-4)
