"""What the Inceptions of Keras share: numbered layers, branches and the stem."""

from __future__ import annotations

import contextlib
import copy

from core import layers
from core.backbones import keras
from core.layers import recompute
from utils.compat import slim, tf

_BATCH_NORM_EPSILON = 1e-3


@contextlib.contextmanager
def arg_scope(mode: layers.Mode):
    """Sets the arguments of the layers: batch norm has no gamma."""
    with layers.arg_scope(
        mode, decay=keras.BATCH_NORM_DECAY, epsilon=_BATCH_NORM_EPSILON
    ), slim.arg_scope([layers.batch_norm], scale=False):
        yield


class Branches:
    """Makes the convolutions of a network, numbered in their order as Keras does.

    Every layer has the padding of TensorFlow's SAME, as the segmentation libraries have it; the
    published networks do without padding in places.
    """

    def __init__(self, output_stride: int, recomputes: bool):
        self.strides = keras.Strides(output_stride)
        self._recomputes = recomputes
        self._made = 0

    def unit(self, function, inputs: tf.Tensor, *arguments) -> tf.Tensor:
        """Returns function(self, inputs, *arguments), which may be computed again for gradients.

        A unit that is computed again must have the same numbers.
        """
        started = copy.deepcopy(self)

        def build(features):
            branches = copy.deepcopy(started)
            outputs = function(branches, features, *arguments)
            vars(self).update(vars(branches))
            return outputs

        return recompute.unit(build, inputs, recompute=self._recomputes)

    def convolve(self, inputs: tf.Tensor, filters: int, kernel_size=1, placement=None) -> tf.Tensor:
        """Convolves, normalizes and activates.

        Args:
          inputs: [N, h, w, channels].
          filters: Output channels.
          kernel_size: Height and width of the kernel, one number or a pair.
          placement: (stride, rate) from `keras.Strides.take`; None is no stride.
        """
        self._made += 1
        stride, rate = placement or (1, 1 if kernel_size == 1 else self.strides.rate)
        return keras.convolve(
            inputs,
            filters,
            kernel_size,
            stride,
            rate,
            use_biases=False,
            scope=f"conv2d_{self._made}",
            norm_scope=f"batch_normalization_{self._made}",
        )

    def chain(self, inputs: tf.Tensor, *settings) -> tf.Tensor:
        """Convolves several times; `settings` are the (filters, kernel size, ...) of each."""
        outputs = inputs
        for arguments in settings:
            outputs = self.convolve(outputs, *arguments)
        return outputs

    def pooled(self, inputs: tf.Tensor, filters: int) -> tf.Tensor:
        """Returns the branch of means: a pool of every pixel's neighbors, and a convolution."""
        means = layers.average_pool(inputs, 3, 1, rate=self.strides.rate)
        return self.convolve(means, filters)

    def stem(self, images: tf.Tensor) -> tuple:
        """Returns features of stride 8 and the stages of stride 2 and 4."""
        placement = self.strides.take(2)
        outputs = self.chain(images, (32, 3, placement), (32, 3), (64, 3))
        stages = {self.strides.full: outputs}
        outputs = self.max_pool(outputs, self.strides.take(2))
        outputs = self.chain(outputs, (80,), (192, 3))
        stages[self.strides.full] = outputs
        return self.max_pool(outputs, self.strides.take(2)), stages

    def max_pool(self, inputs: tf.Tensor, placement: tuple) -> tf.Tensor:
        """Takes the maximum of 3x3 pixels; `placement` is (stride, rate)."""
        stride, rate = placement
        return layers.max_pool(inputs, 3, stride, rate=rate)
