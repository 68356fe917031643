"""Devices are found by their files, and chosen by name or preference."""

import dataclasses

import pytest

from deployment import backend, devices
from deployment.devices import gpu, npu
from options.device import DeviceOptions
from options.ranks import RankOptions
from utils import variants
from utils.errors import OptionError, UserError


def test_every_device_lists_options_that_exist():
    known = variants.collect(devices)
    assert set(known) >= {"cpu", "gpu", "npu"}
    for device in known.values():
        assert set(device.flags) <= {*DeviceOptions.names(), *RankOptions.names()}
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
    ],
)
def test_an_option_of_another_device_is_refused(device, options, named):
    with pytest.raises(OptionError, match=named):
        backend.create(DeviceOptions(device=device, **options))


@pytest.mark.parametrize("options", [{"rank_timeout_secs": 5.0}, {"all_reduce_by": "ring"}])
def test_an_option_of_ranks_on_other_devices_is_refused(options):
    with pytest.raises(OptionError, match=f"--{next(iter(options))} .* cpu and gpu only, .* npu"):
        backend.create(DeviceOptions(device="npu"), RankOptions(**options))


def test_a_process_by_itself_ignores_the_variables_of_launchers(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert backend.create(DeviceOptions(device="cpu")).ranks == 1
    with pytest.raises(UserError, match="RANK is not set"):
        backend.create(DeviceOptions(device="cpu"), RankOptions())
