"""The trace for TensorBoard."""

from unittest import mock

import pytest
from absl import logging

from core.training.hooks.profile_steps import ProfileSteps
from utils.compat import tf
from utils.errors import UserError


def run(folder, loops):
    product = tf.matmul(tf.ones([9, 9]), tf.random.uniform([9, 9]), name="a_product")
    hook = ProfileSteps(str(folder))
    with mock.patch.object(logging, "warning") as warning, tf.train.SingularMonitoredSession(
        hooks=[hook]
    ) as session:
        for _ in range(loops):
            session.run(product)
    return warning.called


def traces(folder):
    found = [
        *folder.glob("plugins/profile/*/*.trace"),
        *folder.glob("plugins/profile/*/*.xplane.pb"),
    ]
    return [path for path in found if b"a_product" in path.read_bytes()]


def test_the_second_loop_is_traced_in_the_folder_that_tensorboard_reads(tmp_path):
    assert not run(tmp_path, 3)
    assert len(traces(tmp_path)) == 1


def test_a_single_loop_is_warned_of(tmp_path):
    assert run(tmp_path, 1)


def test_a_folder_that_cannot_be_created_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--profile_logdir=.*file"):
        ProfileSteps(str(tmp_path / "file" / "below"))
