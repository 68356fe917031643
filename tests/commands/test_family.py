"""train.py: the name and the flags of the DeepLab family."""

import os
import pathlib
import subprocess
import sys

import pytest

import common
from commands import family
from utils.errors import OptionError

ROOT = pathlib.Path(common.__file__).parent


def test_the_number_of_the_only_worker_is_taken_out():
    argv = ["train.py", "--task=0", "-task=0", "--task=binary", "--num_clones=1"]
    assert family.arguments(argv) == ["train.py", "--task=binary", "--num_clones=1"]
    with pytest.raises(OptionError, match="--task=1 is the number of a worker"):
        family.arguments(["train.py", "--task=1"])


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"ABEJA_TRAINING_RESULT_DIR": "out"}, "ABEJA_TRAINING_RESULT_DIR"),
        ({"DATASET_ID": "1", "ABEJA_ORGANIZATION_ID": "2"}, "DATASET_ID"),
    ],
)
def test_the_environment_of_the_template_is_refused(environment, named):
    with pytest.raises(OptionError, match=f"the variable {named} belongs to the hosted"):
        family.check_environment(environment)


def test_generic_variables_mean_nothing_to_it():
    family.check_environment({"DATASET_ID": "1", "EPOCHS": "3", "BATCH_SIZE": "2"})


@pytest.mark.once
def test_the_family_s_command_line_gets_as_far_as_its_data():
    arguments = [
        *("--logtostderr", "--train_split=train", "--model_variant=mobilenet_v2"),
        *("--train_crop_size=513,513", "--train_batch_size=4", "--dataset=pascal_voc_seg"),
        *("--num_clones=1", "--clone_on_cpu=false", "--num_replicas=1", "--num_ps_tasks=0"),
        *("--master=", "--task=0", "--startup_delay_steps=15", "--train_logdir=run"),
        *("--dataset_dir=nowhere", "--device=cpu"),
    ]
    result = subprocess.run(
        [sys.executable, "train.py", *arguments],
        cwd=str(ROOT),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 1, result.stdout
    assert "--dataset_dir=nowhere is not a folder" in result.stdout
