"""Devices are found by their files, and chosen by name or preference."""

import dataclasses

import pytest

from deployment import backend, devices
from deployment.devices import gpu, npu
from options.device import DeviceOptions
from utils import variants
from utils.errors import OptionError


def test_every_device_lists_options_that_exist():
    known = variants.collect(devices)
    assert set(known) >= {"cpu", "gpu", "npu"}
    for device in known.values():
        assert set(device.flags) <= set(DeviceOptions().to_dict())
    assert len({device.preference for device in known.values()}) == len(known)


def test_an_unknown_device_is_refused_with_the_known_ones():
    with pytest.raises(OptionError, match=r"tpu .*--device.*cpu, gpu, npu"):
        backend.create(DeviceOptions(device="tpu"))


def test_auto_takes_the_available_device_with_the_highest_preference(monkeypatch):
    def offer(module, name, is_available):
        device = dataclasses.replace(module.VARIANTS[name], is_available=lambda: is_available)
        monkeypatch.setitem(module.VARIANTS, name, device)

    offer(npu, "npu", False)
    offer(gpu, "gpu", False)
    assert backend.create(DeviceOptions()).name == "cpu"
    offer(gpu, "gpu", True)
    with pytest.raises(OptionError, match="--device=gpu"):
        backend.create(DeviceOptions())
    offer(npu, "npu", True)
    with pytest.raises(OptionError, match="--device=npu"):
        backend.create(DeviceOptions())


@pytest.mark.parametrize(
    ("device", "options", "named"),
    [
        ("cpu", {"gpu": 0}, "--gpu .* gpu only, .* cpu"),
        ("cpu", {"tf32": False}, "--tf32 .* gpu only, .* cpu"),
        ("cpu", {"npu_option": ("a=b",)}, "--npu_option .* npu only, .* cpu"),
        ("cpu", {"npu_dump_path": "dumps"}, "--npu_dump_path .* npu only, .* cpu"),
        ("cpu", {"loss_scale": "dynamic"}, "--loss_scale .* gpu and npu only, .* cpu"),
        ("gpu", {"npu_tune_path": "tuned"}, "--npu_tune_path .* npu only, .* gpu"),
        ("npu", {"rank_timeout_secs": 5.0}, "--rank_timeout_secs .* cpu and gpu only, .* npu"),
        ("npu", {"all_reduce_by": "ring"}, "--all_reduce_by .* cpu and gpu only, .* npu"),
    ],
)
def test_an_option_of_another_device_is_refused(device, options, named):
    with pytest.raises(OptionError, match=named):
        backend.create(DeviceOptions(device=device, **options))
