"""The network's options: one flat dict for two records, old files, options of others."""

import json
import pathlib

import pytest
from absl import flags

import common
from options import network, refused
from options.architectures import ArchitectureOptions
from options.architectures.deeplab import DeepLabOptions
from options.config import Config
from options.network import NETWORK_OPTIONS, NetworkOptions, NetworkSpec
from options.refused import REFUSED, RefusedOptions
from utils.errors import OptionError

# The run that ships with the project was saved before architectures had records of their own.
OLD_RUN = pathlib.Path(common.__file__).parent / "docs" / "results" / "camvid" / "options.json"


def _old_values():
    return json.loads(OLD_RUN.read_text(encoding="utf-8"))["model"]


def test_all_options_are_one_flat_dict_and_come_back():
    spec = NetworkSpec.of(model_variant="resnet_v1_50", atrous_rates=(6, 12), batch_norm_decay=0.9)
    values = spec.to_dict()
    assert values["architecture"] == "deeplab"
    assert values["atrous_rates"] == [6, 12]
    assert NetworkSpec.from_dict(json.loads(json.dumps(values))) == spec


def test_the_options_of_an_old_run_are_read():
    old = _old_values()
    spec = NetworkSpec.from_dict(old)
    assert spec.options.architecture == "deeplab"
    assert set(old) - set(spec.to_dict()) <= set(REFUSED)
    assert {name: old[name] for name in spec.to_dict() if name in old} == {
        name: value for name, value in spec.to_dict().items() if name in old
    }


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_option_is_accepted_at_its_default_only(name):
    default = REFUSED[name][1]
    assert NetworkSpec.from_dict({name: default}) == NetworkSpec.of()
    with pytest.raises(OptionError, match=f"--{name}="):
        NetworkSpec.from_dict({name: "something else"})
    with pytest.raises(OptionError, match=f"--{name}="):
        refused.check({name: "something else"})


def test_no_option_is_in_two_records():
    names = [name for record in (*NETWORK_OPTIONS, RefusedOptions) for name in record().to_dict()]
    assert len(names) == len(set(names))


def test_an_option_of_another_architecture_is_refused_unless_it_is_at_its_default(monkeypatch):
    monkeypatch.setitem(network.ARCHITECTURES, "plain", ArchitectureOptions)
    spec = NetworkSpec.of(architecture="plain", decoder_filters=256, image_pooling_stride=(1, 1))
    assert type(spec.architecture) is ArchitectureOptions
    assert "decoder_filters" not in spec.to_dict()
    with pytest.raises(OptionError, match=r"--decoder_filters .*deeplab .*=plain"):
        NetworkSpec.of(architecture="plain", decoder_filters=48)


def test_a_given_flag_of_another_architecture_is_refused_even_at_its_default():
    given = frozenset(["decoder_filters", "train_logdir"])
    network.check_given("deeplab", given)
    with pytest.raises(OptionError, match=r"--decoder_filters .*deeplab .*=plain"):
        network.check_given("plain", given)


def test_an_unknown_option_is_named_with_the_known_ones():
    with pytest.raises(OptionError, match="outputstride: .*output_stride"):
        NetworkSpec.of(outputstride=8)


def test_a_record_of_another_architecture_is_refused():
    with pytest.raises(ValueError, match="DeepLabOptions"):
        NetworkSpec(NetworkOptions(), ArchitectureOptions())


def test_replace_takes_options_of_both_records():
    spec = NetworkSpec.of().replace(output_stride=8, decoder_output_stride=(4,))
    assert spec.options.output_stride == 8
    assert spec.architecture == DeepLabOptions(decoder_output_stride=(4,))
    with pytest.raises(OptionError, match="below --output_stride=8"):
        spec.replace(decoder_output_stride=(8,))


def test_a_network_is_made_from_flags():
    flag_values = flags.FlagValues()
    common.define_flags(*NETWORK_OPTIONS, flag_values=flag_values)
    flag_values(
        ["program", "--output_stride=8", "--atrous_rates=3", "--image_pooling_crop_size=9,8"]
    )
    assert Config.from_flags(NETWORK_OPTIONS, flag_values).spec == NetworkSpec.of(
        output_stride=8, atrous_rates=(3,), image_pooling_crop_size=(9, 8)
    )
