"""What patterns freeze."""

import pytest

from core import network
from core.training import freezing
from options.training import TrainOptions
from utils.compat import tf
from utils.errors import OptionError

NAMES = [
    "MobilenetV2/Conv/weights",
    "MobilenetV2/expanded_conv_1/expand/BatchNorm/gamma",
    "aspp0/weights",
    "decoder/decoder_conv0/weights",
    "logits/semantic/biases",
]


def trained(*patterns, names=NAMES, architecture="deeplab", form="inference"):
    variables = [tf.get_variable(name, [2]) for name in names]
    options = TrainOptions(freeze=patterns or None, frozen_batch_norm=form)
    rule = freezing.Frozen(options, "MobilenetV2", network.ARCHITECTURES[architecture])
    return [variable.op.name for variable in rule.trained(variables)]


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ((), NAMES),
        (("backbone",), NAMES[2:]),
        (("encoder",), NAMES[2:]),
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


def test_the_auxiliary_head_is_a_part_of_the_head():
    names = ["MobilenetV2/a/weights", "classifier/4/weights", "aux_classifier/4/weights"]
    assert trained("auxiliary", names=names, architecture="fcn") == names[:2]
    tf.reset_default_graph()
    assert trained("head", names=names, architecture="fcn") == names[:1]


def test_a_part_that_the_architecture_lacks_is_refused_with_those_it_has():
    with pytest.raises(OptionError, match="--freeze=auxiliary.*backbone, encoder, head, decoder"):
        trained("auxiliary")
    tf.reset_default_graph()
    with pytest.raises(OptionError, match=r"--freeze=decoder.*auxiliary\."):
        trained("decoder", architecture="fcn")


@pytest.mark.parametrize("form", ["inference", "statistics"])
def test_gamma_and_beta_are_frozen_unless_the_form_is_affine(form):
    assert trained("backbone", form=form) == NAMES[2:]
    tf.reset_default_graph()
    assert trained("backbone", form="affine") == NAMES[1:]


def test_freezing_only_what_the_affine_form_trains_is_refused():
    with pytest.raises(OptionError, match=r"--freeze=\.\*BatchNorm.*affine"):
        trained(".*BatchNorm", form="affine")


def test_a_training_that_unfreezes_has_two_stages():
    options = TrainOptions(
        freeze=("backbone",),
        frozen_batch_norm="statistics",
        fine_tune_batch_norm=False,
        sync_batch_norm=True,
        unfreeze_step=10,
        training_number_of_steps=30,
    )
    assert [freezing.end_of_stage(options, step) for step in (0, 9, 10, 29, 30)] == [
        *[10, 10],
        *[30, 30, 30],
    ]
    assert freezing.at_step(options, 9) is options
    later = freezing.at_step(options, 10)
    assert later.freeze is None
    assert not later.uses_batch_statistics
    never = options.replace(unfreeze_step=0)
    assert freezing.at_step(never, 20) is never
    assert freezing.end_of_stage(options.replace(training_number_of_steps=5), 0) == 5
