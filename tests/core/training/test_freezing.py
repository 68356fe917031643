"""What patterns freeze."""

import pytest

from core import network
from core.training import freezing
from utils.compat import tf
from utils.errors import OptionError

NAMES = [
    "MobilenetV2/Conv/weights",
    "MobilenetV2/expanded_conv_1/expand/BatchNorm/gamma",
    "aspp0/weights",
    "decoder/decoder_conv0/weights",
    "logits/semantic/biases",
]


def trained(*patterns):
    variables = [tf.get_variable(name, [2]) for name in NAMES]
    left = freezing.Frozen(patterns, "MobilenetV2", network.ARCHITECTURES["deeplab"]).trained(
        variables
    )
    return [variable.op.name for variable in left]


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ((), NAMES),
        (("backbone",), NAMES[2:]),
        (("head",), NAMES[:2]),
        (("decoder",), [*NAMES[:3], NAMES[4]]),
        (("MobilenetV2/Conv/", "decoder"), [NAMES[1], NAMES[2], NAMES[4]]),
        ((".*BatchNorm",), [NAMES[0], *NAMES[2:]]),
    ],
)
def test_a_pattern_freezes_what_its_name_says(patterns, left):
    assert trained(*patterns) == left


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(OptionError, match="--freeze=block9 matches no variable.* MobilenetV2, asp"):
        trained("backbone", "block9")


def test_freezing_everything_is_refused():
    with pytest.raises(OptionError, match="leaves no variable to train"):
        trained("backbone", "head")
