"""Each benchmark on a tiny input as a command, and the commands of the standard set."""

import importlib
import json
import pathlib
import subprocess
import sys

import pytest
from absl import flags

import benchmarks
import common
from benchmarks import standard
from benchmarks.standard import StandardOptions
from tests.small_networks import SMALL, save_run
from utils.errors import OptionError, UserError

pytestmark = pytest.mark.once

ROOT = pathlib.Path(benchmarks.__file__).parents[1]
SMALL_NETWORK = (
    "--model_variant=mobilenet_v2",
    "--depth_multiplier=0.25",
    "--aspp_convs_filters=8",
)


def measure(tmp_path, name, *words):
    """Runs a benchmark; returns the content of its file."""
    path = tmp_path / f"{name}.json"
    command = [sys.executable, "-m", f"benchmarks.{name}", *words, f"--json_path={path}"]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE)
    found = json.loads(path.read_text())
    assert found["what"] == name
    assert all(value > 0 for row in found["rows"] for value in row["values"])
    return found


def names(rows):
    return [row["name"] for row in rows]


@pytest.mark.slow
def test_conversion(tmp_path):
    found = measure(tmp_path, "conversion", "--num_images=60", "--repetitions=1", "--num_workers=2")
    assert names(found["rows"]) == ["convert", "bound", "copy"]
    assert names(found["ratios"]) == ["convert / bound", "convert / copy"]


@pytest.mark.slow
def test_input_pipeline(tmp_path):
    words = ("--cores=1", "--images=2", "--batches=1", "--repetitions=1", "--epochs=1")
    found = measure(tmp_path, "input_pipeline", *words)
    assert names(found["ratios"]) == ["pipeline, 1 core(s) / decode alone, 1 core(s)"]


@pytest.mark.slow
def test_training_step(tmp_path):
    words = ("--crop=33", "--batch_size=1", "--repetitions=2", "--variants=ours,ours_ranks,torch")
    extra = f"--extra_flags={','.join(SMALL_NETWORK)}"
    found = measure(tmp_path, "training_step", *words, extra, "--torch_python=/no/python")
    assert names(found["rows"]) == ["ours", "ours_ranks"]
    assert names(found["ratios"]) == ["ours_ranks / ours"]
    assert list(found["missing"]) == ["torch"]


@pytest.mark.slow
def test_architectures(tmp_path):
    words = ("--cases=pspnet_resnet50", "--variants=ours,keras", "--repetitions=1")
    found = measure(tmp_path, "architectures", *words, "--modes=inference")
    row = "pspnet_resnet50 inference ours"
    assert names(found["rows"]) == [row, "pspnet_resnet50 inference keras"]
    assert names(found["ratios"]) == [f"{row} / keras", f"{row} / keras, by processor time"]


@pytest.mark.slow
def test_evaluation(tmp_path):
    words = ("--size=33", "--images=8", "--repetitions=1", "--device=cpu", "--usual")
    found = measure(tmp_path, "evaluation", *words, *SMALL_NETWORK)
    usual = [f"{name}{kind}" for name in ("one scale", "six + flip") for kind in ("", ", usual")]
    assert names(found["rows"]) == ["bare network", *usual]


@pytest.mark.slow
def test_export(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    save_run(str(run), SMALL, (33, 33), ("a", "b"), [1])
    words = (f"--checkpoint_dir={run}", "--crop=33", "--images=2", "--repetitions=2")
    found = measure(tmp_path, "export", *words)
    expected = ["bare network", "checkpoint", "frozen", "savedmodel", "tflite"]
    assert names(found["rows"])[:5] == expected


@pytest.mark.slow
def test_networks(tmp_path):
    words = ("--variants=mobilenet_v2", "--crop_size=65,65", *SMALL_NETWORK[1:])
    arithmetic, forward, training = measure(tmp_path, "networks", *words)["rows"]
    assert arithmetic["besides"]["parameters"] > 1e5
    assert forward["median"] < training["median"]


@pytest.mark.parametrize("name", standard.RUNS)
def test_flags_of_the_standard_set_exist(name):
    module = importlib.import_module(f"benchmarks.{name}")
    flag_values = flags.FlagValues()
    common.define_flags(*module.OPTION_CLASSES, flag_values=flag_values)
    flag_values([name, *standard.RUNS[name], "--json_path=x", "--compare=y"])
    for record in module.OPTION_CLASSES:
        common.from_flags(record, flag_values)


def test_figures_are_compared_with_those_of_the_earlier_folder(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    (before / "export.json").write_text("{}")
    (after / "export.json").write_text("{}")
    options = StandardOptions(output=str(after), compare=str(before))
    assert f"--compare={before / 'export.json'}" in standard.command("export", options)
    assert not (after / "export.json").exists(), "an old file could pass for a new one"
    assert not any("--compare" in word for word in standard.command("conversion", options))


def test_a_benchmark_that_fails_is_named_after_the_others_ran(tmp_path, monkeypatch):
    started = []

    def run(command):
        started.append(command[2])
        return subprocess.CompletedProcess(command, int(command[2].endswith("conversion")))

    monkeypatch.setattr(subprocess, "run", run)
    flag_values = flags.FlagValues()
    common.define_flags(StandardOptions, flag_values=flag_values)
    flag_values(["standard", f"--output={tmp_path / 'bench'}"])
    with pytest.raises(UserError, match="conversion"):
        standard.main(flag_values)
    assert started == [f"benchmarks.{name}" for name in standard.RUNS]


def test_an_earlier_run_must_exist_and_not_be_overwritten(tmp_path):
    with pytest.raises(OptionError, match="--compare=absent"):
        StandardOptions(compare="absent")
    with pytest.raises(OptionError, match="--output"):
        StandardOptions(compare=str(tmp_path), output=str(tmp_path))
