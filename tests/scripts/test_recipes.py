"""The scripts of the recipes: what they would run equals the reference, and they run on a CPU."""

import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
from absl import flags

import common
from commands import running
from core import network
from options.config import Config
from options.network import NETWORK_OPTIONS
from options.training import TrainOptions
from tests import resources, small_data
from tests.in_process import PROGRAMS

pytestmark = pytest.mark.once

ROOT = pathlib.Path(common.__file__).parent
PACKAGES = ("commands", "core", "datasets", "deployment", "options", "utils")
RUN = sorted(path.name for path in (ROOT / "scripts").glob("run_*.sh"))
TEST = sorted(path.name for path in (ROOT / "scripts").glob("test_*.sh"))
EXPORT = sorted(path.name for path in (ROOT / "scripts").glob("create_pb*.sh"))

# Where a recipe differs from the port's, by intention: docs/recipes.md says why.
DIFFERENT = {
    "train_1p_s16.sh": {"training_number_of_steps": "30000", "iterations_per_loop": "100"},
    "train_1p_s8_beta.sh": {"training_number_of_steps": "30000"},
    "train_s16_r2_beta.sh": {
        "output_stride": "16",
        "training_number_of_steps": "7000",
        "weight_decay": "0.00002",
    },
}
# Paths, and what has no effect: cosine falls over the whole run.
NOT_COMPARED = {
    "decay_steps",
    "dataset_dir",
    "checkpoint_dir",
    "checkpoint_path",
    "export_path",
    "tf_initial_checkpoint",
    "train_logdir",
}


def run(script, *arguments, folder=ROOT, **environment):
    return subprocess.run(
        [str(pathlib.Path(folder) / "scripts" / script), *arguments],
        env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
    )


def commands(script, *arguments, **environment):
    """Returns the words of each command that a script would run, from the program on."""
    result = run(script, *arguments, DRY_RUN="1", **environment)
    assert result.returncode == 0, result.stderr
    lines = [shlex.split(line[2:]) for line in result.stdout.splitlines() if line.startswith("$ ")]
    return [
        line[next(index for index, word in enumerate(line) if word.endswith(".py")) :]
        for line in lines
    ]


def parsed(command):
    """Returns the flags of a command, as its program would read them."""
    flag_values = flags.FlagValues()
    name, by_mode = PROGRAMS[command[0]]
    running.parse(name, command[0], by_mode, flag_values, command)
    return flag_values


def reference_command(script):
    """Returns the commands of the port's scripts that one of ours stands for."""
    name = script[: -len(".sh")]
    if name.startswith("run_1p"):
        return [f"train{name[3:]}.sh"]
    if name.startswith("run_"):
        size, _, beta = name[4:].partition("_")
        return [f"train_{size}_r{number}{'_' + beta if beta else ''}.sh" for number in (1, 2)]
    return [script]


@pytest.mark.parametrize("script", RUN + TEST + EXPORT)
def test_a_script_runs_what_the_port_runs(script):
    known = resources.golden_json("recipes.json")["scripts"]
    ours = commands(script)
    assert len(ours) == len(reference_command(script))
    for command, name in zip(ours, reference_command(script)):
        if name not in known:
            assert script in ("create_pb_s8_ms.sh", "create_pb_s8_ms_flip.sh")
            continue
        reference = {**known[name]["flags"], **DIFFERENT.get(name, {})}
        words = [command[0]]
        for flag, value in reference.items():
            words += [f"--{flag}={one}" for one in (value if isinstance(value, list) else [value])]
        expected, found = parsed(words), parsed(command)
        for flag in set(reference) - NOT_COMPARED:
            assert found[flag].value == expected[flag].value, (script, flag)


@pytest.mark.parametrize("script", RUN)
def test_the_options_of_a_recipe_are_accepted(script):
    for command in commands(script):
        found = parsed(command)
        options = common.from_flags(TrainOptions, found)
        assert options.training_number_of_steps % options.iterations_per_loop == 0
        network.check(Config.from_flags(NETWORK_OPTIONS, found).spec, crop_size=(513, 513))


def test_no_two_recipes_share_a_folder():
    folders = [
        parsed(command)["train_logdir"].value for script in RUN for command in commands(script)
    ]
    assert len(set(folders)) == len(folders) == 12
    assert "results/s16_beta/r2/0" in folders


def test_a_list_on_the_command_line_replaces_the_recipes():
    (command,) = commands("run_1p_s16.sh", "--atrous_rates=2", "--atrous_rates=4")
    assert parsed(command)["atrous_rates"].value == [2, 4]
    assert parsed(command)["multi_grid"].value == [1, 2, 4]
    (command,) = commands("test_ms.sh", "--eval_scales=1.0", DEVICE="cpu")
    assert parsed(command)["eval_scales"].value == [1.0]


def test_the_second_round_starts_from_the_first_whatever_the_first_starts_from():
    first, second = commands("run_s16_beta.sh", "--tf_initial_checkpoint=mine.ckpt")
    assert parsed(first)["tf_initial_checkpoint"].value == "mine.ckpt"
    start = parsed(second)["tf_initial_checkpoint"].value
    assert start == "results/s16_beta/r1/0/model.ckpt-STEP"


@pytest.mark.parametrize(
    ("environment", "arguments", "shown"),
    [
        ({}, (), "-m deployment.launch --device=npu --devices=8 "),
        (
            {"DEVICES": "2"},
            (),
            "--devices=2 --rank_logs=results/s8/r1/logs --bind",
        ),
        ({"RANK_TABLE": "my.json"}, (), "--rank_table=my.json -- train_npu.py"),
        (
            {"DEVICE": "cpu"},
            (),
            "train_npu.py --mode=train --train_logdir=results/s8/r1/0 --device=cpu",
        ),
        ({}, ("--device=cpu",), "DEVICES=N"),
        ({}, ("--device", "cpu"), "--device=cpu --rank=1"),
    ],
)
def test_device_and_number_of_processes_can_be_chosen(environment, arguments, shown):
    result = run("run_s8.sh", *arguments, DRY_RUN="1", **environment)
    assert shown in result.stdout.replace("\\", "")


def test_without_a_result_it_is_said():
    result = run("test_ms_flip.sh", DEVICE="cpu")
    assert result.returncode == 1
    assert "results/s8/r2/0 results/1p_s8/r1/0" in result.stderr
    assert "CHECKPOINT=PREFIX" in result.stderr


def test_a_named_checkpoint_is_taken():
    (command,) = commands("test_1p_s8.sh", CHECKPOINT="my/model.ckpt-7")
    assert "--checkpoint_path=my/model.ckpt-7" in command


# Makes a recipe small enough for a test, without changing what the script does.
SMALL_NETWORK = (
    "--model_variant=resnet_v1_18",
    "--multi_grid=1",
    "--multi_grid=2",
    "--aspp_convs_filters=8",
)
SMALL_TRAINING = (
    *SMALL_NETWORK,
    "--tf_initial_checkpoint=",
    "--train_crop_size=33,33",
    "--train_batch_size=2",
    "--training_number_of_steps=2",
    "--iterations_per_loop=1",
)
SMALL_EVALUATION = ("--eval_crop_size=65,65", "--eval_scales=1.0", "--report=false")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder that looks like a checkout, so that results go there."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in [*ROOT.glob("*.py"), *(ROOT / name for name in PACKAGES), ROOT / "scripts"]:
        (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """A small data set with the recipes' splits, as a flag."""
    folder = tmp_path_factory.mktemp("data")
    return "--dataset_dir=" + small_data.make_records(folder, trainaug=4, train=4, val=2)


def succeeded(result):
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def train(checkout, records, script):
    """Runs a training script on a CPU."""
    return succeeded(run(script, records, *SMALL_TRAINING, folder=checkout, DEVICE="cpu"))


def test_two_rounds_an_evaluation_and_an_export_run_on_a_cpu(checkout, records):
    train(checkout, records, "run_s8.sh")
    first, second = (checkout / "results" / "s8" / name / "0" for name in ("r1", "r2"))
    assert (first / "model.ckpt-2.index").exists()
    assert json.loads((second / "options.json").read_text())["train"]["tf_initial_checkpoint"] == (
        "results/s8/r1/0/model.ckpt-2"
    )
    flags_of = {"folder": checkout, "DEVICE": "cpu"}
    succeeded(run("test_1p_s8.sh", records, *SMALL_EVALUATION, **flags_of))
    assert (second / "eval_single_s8" / "metrics.json").exists()
    succeeded(run("create_pb.sh", "--crop_size=33", "--crop_size=33", folder=checkout))
    assert (checkout / "pb_model" / "s8.pb").exists()
    # Nothing is made again, nothing is lost.
    again = train(checkout, records, "run_s8.sh")
    assert "is at step 2 already" in again.stdout + again.stderr


def accept(checkout, script, *arguments):
    """Runs one of the model zoo's acceptance scripts on a CPU."""
    if not (checkout / "test").exists():
        shutil.copytree(ROOT / "test", checkout / "test", ignore=shutil.ignore_patterns("output"))
    return subprocess.run(
        [str(checkout / "test" / script), *arguments],
        env={**os.environ, "PYTHON": sys.executable, "DEVICE": "cpu"},
        capture_output=True,
        text=True,
    )


def small_acceptance(records):
    data_path = records.replace("--dataset_dir", "--data_path")
    return [data_path, "--bind_core=1", "--", *SMALL_TRAINING, *SMALL_EVALUATION]


def test_the_speed_is_printed_as_the_model_zoo_reads_it(checkout, records):
    result = succeeded(accept(checkout, "train_performance_8p.sh", *small_acceptance(records)))
    block = result.stdout.splitlines()[-4:]
    assert block[0].strip("- ") == "Final result"
    assert float(block[1].split("Final Performance images/sec : ")[1]) > 0
    assert block[2] == "Final Train Accuracy : None"
    assert block[3].startswith("E2E Training Duration sec : ")
    case = "DeeplabV3_ID0047_for_TensorFlow_bs2_1p_perf"
    lines = (checkout / "test" / "output" / "0" / f"{case}.log").read_text().splitlines()
    found = dict(line.split(" = ") for line in lines)
    assert found["CaseName"] == case
    assert float(found["TrainingTime"]) == pytest.approx(2000 / float(found["ActualFPS"]), 0.01)
    assert (checkout / "test" / "output" / "0" / f"train_{case}_loss.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 8])
def test_a_full_acceptance_ends_with_the_accuracy(checkout, records, devices):
    result = accept(checkout, f"train_full_{devices}p.sh", *small_acceptance(records))
    line = succeeded(result).stdout.splitlines()[-2]
    assert 0 <= float(line.split("Final Train Accuracy : ")[1]) <= 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "--data_path is missing"),
        (("--data_path=absent",), 1, "--data_path=absent"),
        (("--speed=fast",), 2, "--speed=fast"),
    ],
)
def test_an_acceptance_script_refuses_what_it_does_not_know(checkout, arguments, status, message):
    result = accept(checkout, "train_performance_1p.sh", *arguments)
    assert (result.returncode, message in result.stderr) == (status, True)


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(set(RUN) - {"run_s8.sh"}))
def test_every_training_runs_on_a_cpu(checkout, records, script):
    train(checkout, records, script)
    name = script[len("run_") : -len(".sh")]
    assert list((checkout / "results" / name).glob("r*/0/model.ckpt-2.index"))


@pytest.mark.slow
@pytest.mark.parametrize("script", TEST)
def test_every_evaluation_runs_on_a_cpu(checkout, records, script):
    recipe = "s16" if "s16" in script else "s8"
    recipe += "_beta" if script.endswith("_beta.sh") else ""
    train(checkout, records, f"run_1p_{recipe}.sh")
    result = run(script, records, *SMALL_EVALUATION, folder=checkout, DEVICE="cpu")
    assert "mIoU" in succeeded(result).stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", EXPORT)
def test_every_export_runs(checkout, records, script):
    recipe = "s8_beta" if script.endswith("_beta.sh") else "s8"
    train(checkout, records, f"run_1p_{recipe}.sh")
    succeeded(run(script, "--crop_size=33", "--crop_size=33", folder=checkout))


@pytest.mark.parametrize(
    ("recipe", "send", "status"),
    [
        # Ctrl-C reaches all processes of a terminal.
        ("s16", lambda process: os.killpg(process.pid, signal.SIGINT), 130),
        # A service manager and `docker stop` reach the script only.
        ("s16_beta", lambda process: process.send_signal(signal.SIGTERM), 143),
    ],
)
def test_a_signal_saves_and_ends_the_script(checkout, records, recipe, send, status):
    arguments = [records, *SMALL_TRAINING, "--training_number_of_steps=100000"]
    process = subprocess.Popen(
        [str(checkout / "scripts" / f"run_{recipe}.sh"), *arguments],
        env={**os.environ, "PYTHON": sys.executable, "DEVICE": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Ignored where the tests themselves run in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    metrics = checkout / "results" / recipe / "r1" / "0" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not metrics.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
    send(process)
    try:
        output, _ = process.communicate(timeout=60)
    finally:
        # Whatever is left of its session.
        subprocess.run(["pkill", "-KILL", "-s", str(process.pid)])
    assert process.returncode == status, output
    assert not (checkout / "results" / recipe / "r2").exists()
    assert list(metrics.parent.glob("model.ckpt-*.index"))
    # The training has ended with the script: its folder is free.
    assert "stopped early" in output
