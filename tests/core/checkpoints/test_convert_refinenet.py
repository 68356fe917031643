"""Checkpoints of the RefineNet system become variables of this project."""

import re

import numpy as np
import pytest

from core import network
from core.checkpoints.convert import refinenet
from tests.golden import rules as images_rules
from tests.golden.refinenet import rules
from tests.resources import golden_folder, golden_json
from utils.compat import tf
from utils.errors import UserError

_TABLES = ("ResNet50", "ResNet50_to_conv3", "ResNet50_to_conv4", "ResNet101")
_FRESH_TABLES = ("resnet18", "resnet50", "resnet101", "resnet152")


def _prefix(name):
    return str(golden_folder() / "refinenet" / "checkpoints" / name / name)


@pytest.mark.parametrize("name", ["fresh18_layer1", "resnet50_conv2"])
def test_a_converted_checkpoint_gives_the_stored_logits(name):
    stored = golden_json(f"refinenet/checkpoints/{name}.json")
    config = stored["config"]
    spec = rules.spec_of(config, stored["form"])
    arrays = refinenet.convert(_prefix(name))
    images = images_rules.images(stored["images"], golden_folder() / "photos.npz")
    outputs = network.build(
        tf.constant(images), spec, len(config["classes"]), crop_size=images.shape[1:3]
    )
    variables = {variable.op.name: variable for variable in network.variables()}
    assert set(arrays) == set(variables)
    with tf.Session() as session:
        session.run(
            [variable.initializer for variable in variables.values()],
            {variables[name].initializer.inputs[1]: value for name, value in arrays.items()},
        )
        found = session.run(outputs.logits)
    with np.load(_prefix(name).rsplit("/", 1)[0] + ".npz") as file:
        np.testing.assert_allclose(found, file["logits"], atol=5e-4)


@pytest.mark.parametrize("name", [*_TABLES, *_FRESH_TABLES])
def test_the_names_of_a_backbone_follow_from_its_keys(name):
    rows = golden_json(f"refinenet/weights/backbone_{name}.json")
    others = ["layer_with_weights-1/mrf/conv_0/kernel", "layer_with_weights-2/kernel"]
    found = refinenet.names_of([*(row[2] for row in rows), *others], "file")
    variant = f"{name.split('_')[0].lower()}_{'keras' if name[0] == 'R' else 'refinenet'}"
    for original, _, key in rows:
        name = re.sub("^backbone/", variant + "/", original)
        assert found[key] == name.replace("/kernel", "/weights").replace("/bias", "/biases")


@pytest.mark.parametrize("table", ["r50_doc", "fresh18", "r50_rcu3"])
def test_the_names_of_blocks_follow_from_their_keys(table):
    stored = golden_json(f"refinenet/weights/{table}.json")
    backbone = stored["original"]["backbone_table"]
    rows = stored["original_rows"]
    keys = [row[2] for row in (*golden_json(f"refinenet/weights/backbone_{backbone}.json"), *rows)]
    found = refinenet.names_of(keys, "file")
    for original, _, key in rows:
        assert found[key] == original.replace("/kernel", "/weights").replace("/bias", "/biases")


@pytest.mark.once
def test_a_larger_backbone_that_begins_with_the_same_layers_can_be_chosen():
    scopes = [
        next(name for name in refinenet.convert(_prefix("resnet50_conv2"), variant)).split("/")[0]
        for variant in (None, "resnet101_keras")
    ]
    assert scopes == ["resnet50_keras", "resnet101_keras"]
    with pytest.raises(UserError, match="is resnet18_refinenet, not resnet50_refinenet"):
        refinenet.convert(_prefix("fresh18_layer1"), "resnet50_refinenet")


@pytest.mark.once
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["model/kernel"], "has no backbone"),
        (["layer_with_weights-0/kernel", "layer_with_weights-1/kernel"], "has no backbone"),
        (
            [
                *(f"layer_with_weights-0/layer_with_weights-0/layer-{n}/beta" for n in (0, 1)),
                "layer_with_weights-1/attention/kernel",
                "layer_with_weights-2/kernel",
            ],
            "attention .*is no layer",
        ),
    ],
)
def test_other_checkpoints_are_refused(keys, message):
    with pytest.raises(UserError, match=message):
        refinenet.names_of(keys, "file")
