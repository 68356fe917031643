"""The comparison of architectures with other frameworks: its rows, commands and figures."""

import importlib
import pathlib

import pytest
from absl import flags

import common
from benchmarks import architectures, cases, peers, training_of_ours
from benchmarks.architectures import ArchitecturesOptions
from core import network
from options.config import Config
from options.network import NETWORK_OPTIONS
from utils.classes import ClassSet, default_names

pytestmark = pytest.mark.once

FOLDER = pathlib.Path(peers.__file__).parent


def commands(name, variants=cases.VARIANTS, mode="training"):
    return dict(architectures.commands(cases.CASES[name], mode, variants, "torch/python"))


@pytest.mark.parametrize("name", cases.CASES)
def test_every_row_has_a_network_of_ours_and_a_peer(name):
    case, words = cases.CASES[name], commands(name)[cases.OURS]
    flag_values = flags.FlagValues()
    common.define_flags(*training_of_ours.OPTION_CLASSES, flag_values=flag_values)
    flag_values(words[2:])
    options = common.from_flags(training_of_ours.StepOptions, flag_values)
    spec = Config.from_flags(NETWORK_OPTIONS, flag_values).spec
    network.check(spec, options.image_size, 1)
    assert (*options.image_size, options.num_classes) == (*case.size, case.num_classes)
    assert ClassSet(default_names(options.num_classes), task=options.class_task).task == case.task
    assert (FOLDER / f"{case.peer}.py").exists()
    assert (FOLDER / f"{case.framework}_worker.py").exists()


def test_a_variant_runs_in_the_framework_of_the_network_only():
    assert list(commands("unet_resnet34")) == ["ours", "keras", "keras_xla"]
    found = commands("fc_hardnet70", ("ours", "keras", "torch_nhwc"), "inference")
    assert list(found) == ["ours", "torch_nhwc"]
    assert found["torch_nhwc"][:4] == [
        "torch/python",
        "-m",
        "benchmarks.peers.torch_worker",
        "fc_hardnet",
    ]
    assert "--channels_last" in found["torch_nhwc"]
    assert all("--inference" in command for command in found.values())


def steps(seconds, processor, parameters=10):
    step = {"seconds": seconds, "processor_seconds": processor, "peak_mb": 100.0}
    return {"parameters": parameters, "versions": "A", "steps": [step]}


def test_ratios_are_of_ours_over_the_others_by_both_times():
    found = {"ours": steps(2.0, 3.0), "keras": steps(5.0, 6.0)}
    rows, ratios = architectures.figures("net training", found)
    assert [row.name for row in rows] == ["net training ours", "net training keras"]
    assert {row.name: row.values for row in ratios} == {
        "net training ours / keras": (2.5,),
        "net training ours / keras, by processor time": (2.0,),
    }
    assert architectures.figures("net training", {"keras": found["keras"]})[1] == []


def test_networks_of_other_sizes_are_told_apart():
    same = {"ours": steps(1.0, 1.0), "keras": steps(1.0, 1.0)}
    assert "10 trained parameters in all" in architectures.parameters("net", same)
    other = {**same, "keras": steps(1.0, 1.0, parameters=11)}
    assert "!!!" in architectures.parameters("net", other)
    assert "keras 11" in architectures.parameters("net", other)


def test_without_pytorch_the_rest_is_measured(monkeypatch):
    started = {}

    class Started:
        def __init__(self, command):
            self.description = {"parameters": 1, "versions": "A"}
            started[command[2]] = command

        def run(self):
            return {"seconds": 1.0, "processor_seconds": 1.0, "peak_mb": 1.0}

        def close(self):
            del started["benchmarks.training_of_ours"]

    monkeypatch.setattr(architectures.runner, "has_module", lambda python, name: False)
    monkeypatch.setattr(architectures, "Worker", Started)
    options = ArchitecturesOptions(variants=("ours", "torch"), repetitions=1)
    found, missing = architectures._measured(cases.CASES["fcn_resnet101"], "training", options)
    assert list(found) == ["ours"]
    assert "requirements/benchmarks.txt" in missing["torch"]
    assert not started, "a process is left running"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("unet_resnet34", 24_438_804),
        ("fpn_resnet50", 28_631_238),
        ("pspnet_resnet50", 3_821_766),
        ("refinenet_resnet50", 46_514_946),
    ],
)
def test_peers_in_keras_have_the_parameters_of_the_originals(name, parameters):
    keras = pytest.importorskip("keras")
    case = cases.CASES[name]
    built = importlib.import_module(f"benchmarks.peers.{case.peer}").build(
        case.size, 1 if case.task == "binary" else case.num_classes
    )
    assert isinstance(built, keras.Model)
    assert sum(int(one.shape.num_elements()) for one in built.trainable_variables) == parameters
