"""The lists of packages agree with each other."""

import pathlib

import pytest

import common

pytestmark = pytest.mark.once

FOLDER = pathlib.Path(common.__file__).parent / "requirements"


def pins(name):
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_the_gpu_has_the_packages_of_the_cpu_besides_cuda():
    gpu, cpu = pins("gpu.txt"), pins("tf2.21.txt")
    assert cpu - gpu == {"tensorflow-cpu==2.21.0"}
    more = gpu - cpu
    assert "tensorflow==2.21.0" in more
    assert all(pin.startswith("nvidia-") for pin in more - {"tensorflow==2.21.0"})
