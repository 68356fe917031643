"""What `compat` says about TensorFlow's kernels, compared with TensorFlow in new processes."""

import os
import subprocess
import sys

import pytest

from utils import compat

_VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
_TRAINS_DILATION = f"""
import os
from utils.compat import has_native_atrous_gradient, tf, uses_onednn
images, weights = tf.ones([1, 9, 9, 2]), tf.ones([3, 3, 2, 2])
outputs = tf.nn.conv2d(images, weights, [1, 1, 1, 1], "SAME", dilations=[1, 2, 2, 1])
print(os.environ.get("{_VARIABLE}"), uses_onednn(), has_native_atrous_gradient())
with tf.Session() as session:
    session.run(tf.gradients(outputs, [images, weights]))
"""


@pytest.mark.parametrize("value", [None, "0", pytest.param("1", marks=pytest.mark.slow)])
def test_dilation_has_a_native_gradient_exactly_with_onednn(value):
    if value == "1" and compat.VERSION < (2, 9):
        pytest.skip("oneDNN of this TensorFlow is broken or absent")
    environment = {name: text for name, text in os.environ.items() if name != _VARIABLE}
    if value is not None:
        environment[_VARIABLE] = value
    command = [sys.executable, "-c", _TRAINS_DILATION]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    variable, uses_onednn, has_gradient = result.stdout.split()
    # The user's choice is not changed.
    assert variable == str(value)
    assert uses_onednn == has_gradient
    assert (has_gradient == "True") == (result.returncode == 0), result.stderr
    if value is not None:
        assert uses_onednn == str(value == "1")
    elif compat.VERSION < (2, 9):
        assert uses_onednn == "False"
