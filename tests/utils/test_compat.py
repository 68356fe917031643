"""What is known of TensorFlow's kernels: asked of TensorFlow, whatever the processor has."""

import os
import subprocess
import sys

import pytest

from utils import compat

_TRAINS_DILATION = """
from utils.compat import has_native_atrous_gradient, tf, uses_onednn
images, weights = tf.ones([1, 9, 9, 2]), tf.ones([3, 3, 2, 2])
outputs = tf.nn.conv2d(images, weights, [1, 1, 1, 1], "SAME", dilations=[1, 2, 2, 1])
print(uses_onednn(), has_native_atrous_gradient())
with tf.Session() as session:
    session.run(tf.gradients(outputs, [images, weights]))
"""


def _in_new_process(code, **environment):
    clean = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    return subprocess.run(
        [sys.executable, "-c", code], env={**clean, **environment}, capture_output=True, text=True
    )


def test_the_users_choice_of_kernels_is_left_alone():
    code = "import os; import utils.compat; print(os.environ.get('TF_ENABLE_ONEDNN_OPTS'))"
    assert _in_new_process(code).stdout == "None\n"
    assert _in_new_process(code, TF_ENABLE_ONEDNN_OPTS="0").stdout == "0\n"


@pytest.mark.skipif(compat.VERSION < (2, 9), reason="oneDNN of this TensorFlow is broken or absent")
@pytest.mark.parametrize("value", ["", "0", "1"])
def test_dilation_has_a_native_gradient_exactly_where_it_is_said_to(value):
    result = _in_new_process(
        _TRAINS_DILATION, **({"TF_ENABLE_ONEDNN_OPTS": value} if value else {})
    )
    said = result.stdout.split()
    assert said[0] == said[1]
    assert value == "" or said[0] == str(value == "1")
    assert (said[1] == "True") == (result.returncode == 0), result.stderr


@pytest.mark.skipif(compat.VERSION >= (2, 9), reason="this TensorFlow may have another choice")
def test_older_tensorflows_have_no_gradient_of_dilation_unless_they_are_told():
    result = _in_new_process(_TRAINS_DILATION, TF_ENABLE_ONEDNN_OPTS="0")
    assert result.stdout.split() == ["False", "False"]
    assert result.returncode != 0
