"""The doctor: what it finds, what it says to do, and its exit status."""

import os
import pathlib
import subprocess
import sys

import pytest

import common
from commands.engines import doctor_tensorflow, machine
from options.device import DeviceOptions
from options.ranks import RankOptions
from tests import small_data
from tests.npu_adapter import session as device
from utils import compat
from utils.version import VERSION

ROOT = pathlib.Path(common.__file__).parent
STAND_IN = pathlib.Path(device.__file__).parent / "bridge"


def run(*arguments, **environment):
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ASCEND_", "RANK_", "CM_", "JOB_ID", "DEVICE_"))
    }
    result = subprocess.run(
        [sys.executable, "doctor.py", *arguments],
        cwd=ROOT,
        env={**clean, **environment},
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stdout


def test_a_machine_data_and_checkpoint_in_order_are_all_well(tmp_path):
    records = small_data.make_records(tmp_path, train=3, val=2)
    checkpoint = "docs/results/camvid/model.ckpt-2400"
    arguments = (f"--dataset_dir={records}", f"--tf_initial_checkpoint={checkpoint}")
    status, output = run("--device=cpu", *arguments)
    assert status == 0, output
    assert f"ok    DeepLabV3: version {VERSION}" in output
    assert "ok    --device=cpu: cpu, precision fp32" in output
    kernels = "oneDNN" if compat.uses_onednn() else "Eigen"
    assert f"ok    TensorFlow: {compat.tf.__version__}, CPU kernels from {kernels}" in output
    assert "ok    split val: 2 images" in output
    assert "model.ckpt-2400, " in output
    assert output.endswith("All checks passed.\n")


@pytest.mark.once
def test_what_is_wrong_is_told_all_at_once(tmp_path):
    arguments = (f"--dataset_dir={tmp_path}", f"--tf_initial_checkpoint={tmp_path}/none.ckpt")
    status, output = run("--device=npu", "--num_classes=3", *arguments, RANK_SIZE="8")
    assert status == 1
    for expected in (
        "FIX   --device=npu: cannot be used",
        "FIX   --dataset_dir=",
        "FIX   checkpoint: cannot be read",
        "FIX   NPU devices: no /dev/davinci*",
        "source /usr/local/Ascend/ascend-toolkit/set_env.sh",
        "neither npu_bridge nor npu_device is found",
        "neither RANK_ID nor DEVICE_INDEX",
    ):
        assert expected in output
    assert " checks failed." in output


def test_adapter_and_rank_table_are_looked_at(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("ASCEND_", "RANK_", "CM_", "JOB_ID", "DEVICE_")):
            monkeypatch.delenv(name)
    monkeypatch.syspath_prepend(str(STAND_IN))
    monkeypatch.setenv("ASCEND_HOME_PATH", str(ROOT))
    monkeypatch.setenv("RANK_TABLE_FILE", str(ROOT / "scripts" / "8p.json"))
    found = {
        finding.what: finding
        for finding in machine.ascend(DeviceOptions(), RankOptions(), doctor_tensorflow.adapter)
    }
    assert found["CANN"].remedy == ""
    assert "npu_bridge" in found["adapter"].result
    assert found["rank table"].result.endswith("8p.json, 8 devices")
    assert found["ranks"].result == "this is rank 0 of 1"
    assert "HCCL_CONNECT_TIMEOUT" not in found


@pytest.mark.parametrize(
    ("variables", "remedy"),
    [
        ({"HCCL_CONNECT_TIMEOUT": "60"}, "must be a whole number from 120 to 7200"),
        ({"HCCL_CONNECT_TIMEOUT": "600"}, None),
        ({"ASCEND_DEVICE_ID": "npu0"}, "ASCEND_DEVICE_ID must be a whole number"),
        ({"HCCL_WHITELIST_DISABLE": "0"}, "Name the list in HCCL_WHITELIST_FILE"),
        ({"HCCL_WHITELIST_DISABLE": "1"}, None),
    ],
)
def test_variables_of_cann_are_held_to_their_bounds(monkeypatch, variables, remedy):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    remedies = [finding.remedy for finding in machine._numbers() if finding.remedy]
    assert len(remedies) == (remedy is not None)
    assert remedy is None or remedy in remedies[0]


@pytest.mark.once
def test_what_a_gpu_needs_is_told():
    status, output = run("--device=gpu", PATH="/nowhere", CUDA_VISIBLE_DEVICES="")
    assert status == 1
    for expected in (
        "FIX   --device=gpu: cannot be used",
        "FIX   NVIDIA driver: nvidia-smi is not on PATH",
        "FIX   GPUs: TensorFlow sees none",
    ):
        assert expected in output


def test_gpus_are_shown_with_what_they_can_compute_in(monkeypatch, tmp_path):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'NVIDIA A100, 550.54, 40960 MiB'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("deployment.devices.gpu.why_no_gpu", lambda: None)
    gpus = [compat.Gpu("NVIDIA A100", (8, 0)), compat.Gpu("Tesla P4", (6, 1))]
    monkeypatch.setattr(compat, "visible_gpus", lambda: gpus)
    driver, first, second = machine.nvidia(DeviceOptions(), doctor_tensorflow.gpus)
    assert driver.result == "NVIDIA A100, 550.54, 40960 MiB"
    assert first.what == "--gpu=0"
    assert first.result == "NVIDIA A100, compute capability 8.0, precision fp32 or fp16"
    assert second.result == "Tesla P4, compute capability 6.1, precision fp32"


@pytest.mark.parametrize(
    ("version", "python", "remedy"),
    [
        ((1, 15), (3, 7), ""),
        ((1, 15), (3, 9), "made for Python 3.7"),
        ((2, 6), (3, 11), "made for Python 3.7 or 3.8 or 3.9"),
        ((2, 21), (3, 11), "works with TensorFlow 1.15 and 2.6.5 only"),
    ],
)
def test_the_adapters_versions_are_compared(monkeypatch, version, python, remedy):
    monkeypatch.setattr("utils.compat.VERSION", version)
    monkeypatch.setattr(sys, "version_info", (*python, 0))
    finding = doctor_tensorflow.adapter(["npu_bridge"])
    assert remedy in finding.remedy
    assert bool(finding.remedy) == bool(remedy)
