"""The architectures: the networks after a backbone, one file or package each.

Each member offers its networks in a dict VARIANTS; `core/network.py` collects them. What depends on
the architecture is in its record and nowhere else.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Callable, NamedTuple

from options.network import NetworkSpec
from utils.compat import tf

# The name of the network's answer among its supervised outputs.
MERGED = "merged"


class Outputs(NamedTuple):
    """What a network makes of a batch of images.

    Attributes:
      logits: The answer, float32 [N, h', w', channels].
      supervised: Name -> (logits, weight of their loss) of all outputs that are trained. The answer
        is among them as MERGED, unless a loss on it is not wanted.
    """

    logits: tf.Tensor
    supervised: dict

    @classmethod
    def of(cls, logits: tf.Tensor, **auxiliary) -> Outputs:
        """Returns outputs whose answer has weight 1.

        Args:
          logits: The answer.
          **auxiliary: Name -> (logits, weight) of what is trained beside it.
        """
        return cls(logits, {MERGED: (logits, 1.0), **auxiliary})


def _accept(unused_spec, unused_backbone, *, image_size, channels):
    """Accepts every network."""
    del image_size, channels


def _same_spec(spec, unused_scale):
    return spec


def _always(unused_spec) -> bool:
    return True


@dataclasses.dataclass(frozen=True)
class Architecture:
    """One architecture.

    Attributes:
      build: `build(features, spec, mode, channels, *, image_size, crop_size) -> Outputs`, where
        `features` are the backbone's, `spec` is the `NetworkSpec`, `mode` the `layers.Mode`,
        `channels` the number of logits of a pixel, `image_size` the (height, width) of the images
        as numbers or tensors, and `crop_size` the same as numbers, or None where images may have
        any size. Whether variables are reused depends on the surrounding scope.
      logits_stride: NetworkSpec -> stride of the logits.
      head_scopes: Regular expressions that match the names of the variables between backbone and
        classifier at their start.
      classifier: Scope of the layer that gives the logits: the last dimension of its weights and
        biases is the number of channels.
      auxiliary_classifiers: Scopes of further layers with one filter for each channel.
      auxiliary_scopes: Those of `head_scopes` that belong to heads which only training has. Weights
        that training starts from may lack them.
      rate_multipliers: Regular expression that matches the names of variables at their start ->
        factor of their learning rate.
      decoder_scopes: Those of `head_scopes` that `--freeze=decoder` stands for.
      strides: Strides of `Features.stages` that it cannot do without.
      check: `check(spec, backbone, *, image_size, channels)` raises OptionError for what it cannot
        do. `backbone` is the `Backbone` record; image size and channels are None where they are not
        known.
      takes: Those of `backbones.OPTIONAL` that it reads.
      at_scale: (NetworkSpec, scale) -> the NetworkSpec that sees the images of one scale of an
        image pyramid, for options that are sizes.
      can_turn: NetworkSpec -> whether a network for crops of one orientation may get crops of the
        other.
      align_corners: How its logits are resized, and whatever becomes of them.
      activates_before_resizing: Whether predictions are activated at the size of the logits, and
        then resized and decided.
    """

    build: Callable[..., Outputs]
    logits_stride: Callable[[NetworkSpec], int]
    head_scopes: tuple[str, ...]
    classifier: str = "logits/semantic"
    auxiliary_classifiers: tuple[str, ...] = ()
    auxiliary_scopes: tuple[str, ...] = ()
    rate_multipliers: dict[str, float] = dataclasses.field(default_factory=dict)
    decoder_scopes: tuple[str, ...] = ()
    strides: tuple[int, ...] = ()
    check: Callable = _accept
    takes: frozenset = frozenset()
    at_scale: Callable = _same_spec
    can_turn: Callable[[NetworkSpec], bool] = _always
    align_corners: bool = False
    activates_before_resizing: bool = False

    @property
    def classifier_scopes(self) -> tuple[str, ...]:
        """Regular expressions of the variables whose shape depends on the number of channels.

        A classifier may be a sum of several layers, whose scopes end in `_1`, `_2` ...
        """
        return tuple(
            rf"{re.escape(scope)}(_\d+)?/"
            for scope in (self.classifier, *self.auxiliary_classifiers)
        )

    def last_layer_scopes(self, classifier_only: bool = False) -> tuple[str, ...]:
        """Returns regular expressions that match the names of the head's variables at their start.

        Args:
          classifier_only: Whether only the classifiers count as the head.
        """
        return self.classifier_scopes + (() if classifier_only else self.head_scopes)
