"""The losses of `tf.keras.losses` by their class names, as Keras computes them.

They are means over pixels and channels; ignored pixels and weights count as everywhere here. Keras
gives a loss what the network answers. The parameter `of` says what that was: probabilities (as of a
network that ends in an activation) or logits (as of one that does not). Keras's `from_logits=True`
is `of=logits`.

Source: TensorFlow 2.0.4, python/keras/{losses,backend}.py; `CosineSimilarity` and
`BinaryFocalCrossentropy` as in Keras 3.
"""

from __future__ import annotations

import functools
import math

from core.losses import Context, Loss, Parameter, pixelwise
from core.task import Targets
from utils.compat import tf

_EPSILON = 1e-7


def _of_channels(
    function, logits: tf.Tensor, targets: Targets, context: Context, of: str, **parameters
) -> tf.Tensor:
    """Returns the mean of a function (y, x, of_logits, **parameters) -> [N, h, w, channels].

    Args:
      function: The loss of each pixel and channel.
      logits: float32 [N, h, w, channels].
      targets: The targets.
      context: See `Context`.
      of: "probabilities" or "logits": what x is.
      **parameters: For the function.
    """
    answer = _answer(logits, targets, context, of)
    losses = function(targets.values(), answer, of == "logits", **parameters)
    return pixelwise.mean_of_channels(losses, targets, context)


def _of_pixels(
    function, logits: tf.Tensor, targets: Targets, context: Context, of: str
) -> tf.Tensor:
    """Returns the mean of a function (y, x, of_logits, weights) -> [N, h, w]; see `_of_channels`.

    The function is given the weights of a pixel's channels, [N, h, w, channels].
    """
    inside, pixels = pixelwise.of_pixels(targets)
    answer = _answer(logits, targets, context, of)
    return pixelwise.mean(
        function(targets.values(), answer, of == "logits", inside), pixels, context
    )


def _answer(logits, targets, context, of):
    logits = pixelwise.resized(logits, targets, context)
    return logits if of == "logits" else targets.task.activate(logits)


def _binary_crossentropy(values, answer, of_logits, label_smoothing):
    values = values * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if of_logits:
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=values, logits=answer)
    clipped = tf.clip_by_value(answer, _EPSILON, 1.0 - _EPSILON)
    likelihood = values * tf.log(clipped + _EPSILON)
    return -(likelihood + (1.0 - values) * tf.log(1.0 - clipped + _EPSILON))


def _binary_focal_crossentropy(values, answer, of_logits, gamma):
    losses = _binary_crossentropy(values, answer, of_logits, 0.0)
    probabilities = tf.sigmoid(answer) if of_logits else answer
    missing = values + probabilities - 2.0 * values * probabilities
    return tf.pow(missing, gamma) * losses


def _hinge(values, answer, unused_of_logits):
    return tf.nn.relu(1.0 - (2.0 * values - 1.0) * answer)


def _squared_hinge(values, answer, of_logits):
    return tf.square(_hinge(values, answer, of_logits))


def _squared_error(values, answer, unused_of_logits):
    return tf.square(values - answer)


def _absolute_error(values, answer, unused_of_logits):
    return tf.abs(values - answer)


def _absolute_percentage_error(values, answer, unused_of_logits):
    return 100.0 * tf.abs(values - answer) / tf.maximum(values, _EPSILON)


def _squared_logarithmic_error(values, answer, unused_of_logits):
    return tf.square(
        tf.log(tf.maximum(values, _EPSILON) + 1.0) - tf.log(tf.maximum(answer, _EPSILON) + 1.0)
    )


def _huber(values, answer, unused_of_logits, delta):
    error = tf.abs(values - answer)
    inner = tf.minimum(error, delta)
    return 0.5 * tf.square(inner) + delta * (error - inner)


def _logcosh(values, answer, unused_of_logits):
    error = answer - values
    return error + tf.nn.softplus(-2.0 * error) - math.log(2.0)


def _poisson(values, answer, unused_of_logits):
    return answer - values * tf.log(answer + _EPSILON)


def _categorical_crossentropy(values, answer, of_logits, unused_weights):
    if of_logits:
        return tf.nn.softmax_cross_entropy_with_logits_v2(labels=values, logits=answer)
    shares = answer / tf.reduce_sum(answer, axis=3, keepdims=True)
    clipped = tf.clip_by_value(shares, _EPSILON, 1.0 - _EPSILON)
    return -tf.reduce_sum(values * tf.log(clipped), axis=3)


def _categorical_hinge(values, answer, unused_of_logits, unused_weights):
    right = tf.reduce_sum(values * answer, axis=3)
    wrong = tf.reduce_max((1.0 - values) * answer, axis=3)
    return tf.nn.relu(wrong - right + 1.0)


def _kl_divergence(values, answer, unused_of_logits, weights):
    values = tf.clip_by_value(values, _EPSILON, 1.0)
    answer = tf.clip_by_value(answer, _EPSILON, 1.0)
    return tf.reduce_sum(weights * values * tf.log(values / answer), axis=3)


def _cosine_similarity(values, answer, unused_of_logits, weights):
    values = tf.nn.l2_normalize(weights * values, axis=3)
    return -tf.reduce_sum(values * tf.nn.l2_normalize(weights * answer, axis=3), axis=3)


_OF = Parameter("probabilities", choices=("probabilities", "logits"))
_EXCLUSIVE = {
    "tasks": ("multiclass",),
    "reason": "it compares classes that exclude each other",
}
_OF_PROBABILITIES = Parameter("probabilities", choices=("probabilities",))


def _channels(function, of=_OF, **parameters) -> Loss:
    build = functools.partial(_of_channels, function)
    return Loss(build, parameters={"of": of, **parameters}, mines=True)


def _pixels(function, of=_OF, **record) -> Loss:
    build = functools.partial(_of_pixels, function)
    return Loss(build, parameters={"of": of}, mines=True, **record)


VARIANTS = {
    "keras.BinaryCrossentropy": _channels(
        _binary_crossentropy, label_smoothing=Parameter(0.0, minimum=0.0, maximum=1.0)
    ),
    "keras.BinaryFocalCrossentropy": _channels(
        _binary_focal_crossentropy, gamma=Parameter(2.0, minimum=1.0)
    ),
    "keras.CategoricalCrossentropy": _pixels(_categorical_crossentropy, **_EXCLUSIVE),
    "keras.CategoricalHinge": _pixels(_categorical_hinge, **_EXCLUSIVE),
    "keras.CosineSimilarity": _pixels(
        _cosine_similarity,
        tasks=("multiclass", "multilabel"),
        reason="it compares directions, and one channel has none",
    ),
    "keras.Hinge": _channels(_hinge),
    "keras.Huber": _channels(_huber, delta=Parameter(1.0, minimum=0.0)),
    "keras.KLDivergence": _pixels(
        _kl_divergence,
        of=_OF_PROBABILITIES,
        tasks=("multiclass",),
        reason="it compares distributions over classes",
    ),
    "keras.LogCosh": _channels(_logcosh),
    "keras.MeanAbsoluteError": _channels(_absolute_error),
    "keras.MeanAbsolutePercentageError": _channels(_absolute_percentage_error),
    "keras.MeanSquaredError": _channels(_squared_error),
    "keras.MeanSquaredLogarithmicError": _channels(_squared_logarithmic_error),
    "keras.Poisson": _channels(_poisson, of=_OF_PROBABILITIES),
    "keras.SquaredHinge": _channels(_squared_hinge),
}
