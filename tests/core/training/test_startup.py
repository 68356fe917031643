"""What a training checks and warns of before its first step."""

from unittest import mock

import pytest
from absl import logging

from core.training import startup
from options.network import NetworkSpec
from options.training import TrainOptions
from utils.errors import OptionError


def backend(ranks=1, device_loop=False):
    return mock.Mock(ranks=ranks, runs_loop_on_device=lambda: device_loop)


def test_a_recovery_needs_a_single_process():
    options = TrainOptions(recover_from_nan=1)
    startup.check_backend(options, backend())
    with pytest.raises(OptionError, match="--recover_from_nan=1 .* 2 train"):
        startup.check_backend(options, backend(ranks=2))


def test_synchronized_batch_norm_needs_the_loop_on_the_host():
    options = TrainOptions(sync_batch_norm=True)
    startup.check_backend(options, backend(ranks=2))
    with pytest.raises(OptionError, match="--sync_batch_norm"):
        startup.check_backend(options, backend(device_loop=True))


def warnings(spec=None, **options):
    """Returns the flags that warnings about batch norm name first."""
    with mock.patch.object(logging, "warning") as warning:
        startup.warn_of_batch_norm(NetworkSpec.of(**spec or {}), TrainOptions(**options))
    return [call[0][0] % call[0][1:] for call in warning.call_args_list]


def test_a_long_training_of_large_batches_is_not_warned_of():
    assert warnings() == []


def test_small_batches_are_warned_of_only_if_batch_norm_is_trained():
    (text,) = warnings(train_batch_size=4)
    assert "--train_batch_size=4" in text
    assert warnings(train_batch_size=4, fine_tune_batch_norm=False) == []


def test_moving_averages_that_keep_their_initial_values_are_warned_of():
    head, backbone_text = warnings(training_number_of_steps=500)
    assert "--batch_norm_decay (such as 0.988)" in head
    assert "86%" in head
    assert "mobilenet_v2" in backbone_text
    assert warnings(training_number_of_steps=500, tf_initial_checkpoint="weights.ckpt") == [head]
    assert warnings(training_number_of_steps=500, init="imagenet") == [head]
    assert warnings(training_number_of_steps=500, init="random") == [head, backbone_text]
    assert warnings({"batch_norm_decay": 0.9}, training_number_of_steps=500) == [backbone_text]


def test_random_weights_are_announced_where_images_are_few(caplog):
    spec = NetworkSpec.of()
    for options in (TrainOptions(), TrainOptions(init="random"), TrainOptions(init="imagenet")):
        startup.warn_of_random_weights(spec, options, 240)
    startup.warn_of_random_weights(spec, TrainOptions(), 118_287)
    (record,) = caplog.records
    assert "random weights, for which 240 images are few: pass --init=imagenet" in record.message


def test_a_new_training_starts_at_step_zero():
    assert startup.start_step(None, TrainOptions()) == 0


def test_a_form_of_frozen_batch_norm_needs_something_frozen():
    with pytest.raises(OptionError, match="--frozen_batch_norm=affine.*--freeze"):
        TrainOptions(frozen_batch_norm="affine")
    TrainOptions(freeze=("backbone",), frozen_batch_norm="affine")


def test_batch_statistics_of_frozen_parts_alone_can_be_synchronized():
    with pytest.raises(OptionError, match="--sync_batch_norm has no effect"):
        TrainOptions(fine_tune_batch_norm=False, sync_batch_norm=True)
    TrainOptions(
        fine_tune_batch_norm=False,
        sync_batch_norm=True,
        freeze=("backbone",),
        frozen_batch_norm="statistics",
    )


def test_unfreezing_needs_something_frozen_and_checkpoints():
    with pytest.raises(OptionError, match="--unfreeze_step=5.*--freeze"):
        TrainOptions(unfreeze_step=5)
    with pytest.raises(OptionError, match="--unfreeze_step needs checkpoints"):
        TrainOptions(unfreeze_step=5, freeze=("backbone",), do_checkpoint=False)
