"""What DeepLab's record answers; its graphs are held by golden logits."""

import pytest

from core import network
from options.network import NetworkSpec
from utils.errors import OptionError

DEEPLAB = network.ARCHITECTURES["deeplab"]


def test_the_pooling_window_is_scaled_with_the_image_and_fixes_the_orientation_of_a_crop():
    spec = NetworkSpec.of(image_pooling_crop_size=(65, 129))
    assert DEEPLAB.at_scale(spec, 0.5).architecture.image_pooling_crop_size == (33, 65)
    assert not DEEPLAB.can_turn(spec)


def test_without_a_pooling_window_scales_and_orientations_are_alike():
    spec = NetworkSpec.of()
    assert DEEPLAB.at_scale(spec, 0.5) is spec
    assert DEEPLAB.can_turn(spec)


def test_the_finest_decoder_stride_is_that_of_the_logits():
    assert network.logits_stride(NetworkSpec.of(output_stride=16)) == 16
    assert network.logits_stride(NetworkSpec.of(decoder_output_stride=(8, 4))) == 4


def test_the_classifiers_are_all_layers_of_a_sum_and_not_the_decoder():
    scopes = DEEPLAB.last_layer_scopes(classifier_only=True)
    assert scopes == DEEPLAB.classifier_scopes
    assert set(DEEPLAB.decoder_scopes) <= set(DEEPLAB.last_layer_scopes()) - set(scopes)


def test_channels_that_the_decoder_cannot_give_are_refused_before_a_graph_is_built():
    spec = NetworkSpec.of(
        decoder_output_stride=(4,), decoder_output_is_logits=True, decoder_filters=5
    )
    network.check(spec, channels=5)
    with pytest.raises(OptionError, match="--decoder_filters=5 .* 6"):
        network.check(spec, channels=6)
