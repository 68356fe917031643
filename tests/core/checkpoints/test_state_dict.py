"""State dicts are read without PyTorch, and nothing else is unpickled."""

import io
import json
import pickle
import struct

import numpy as np
import pytest

from core.checkpoints.convert import state_dict
from tests.core.checkpoints import torch_writer
from tests.resources import golden_folder
from utils.errors import UserError

_ARRAYS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "conv.bias": np.array([0.5, -2.0], np.float32),
    "steps": np.float32(3.0).reshape(()),
}

_TINY = (
    "abeja_checkpoint_legacy.pth",
    "hardnet_best_model_zip_1_6.pkl",
    "lightning_zip_1_6.ckpt",
    "tiny_legacy.pth",
    "tiny_legacy_2_13.pth",
    "tiny_legacy_module_prefix.pth",
    "tiny_zip.pth",
    "tiny_zip_1_6.pth",
)


def _assert_equal(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("name", _TINY)
def test_files_of_pytorch_hold_the_stored_arrays(name):
    folder = golden_folder() / "abeja" / "weights"
    with np.load(str(folder / "tiny.npz")) as expected:
        assert state_dict.is_state_dict(str(folder / name))
        _assert_equal(state_dict.read(str(folder / name)), dict(expected))


@pytest.mark.parametrize("name", ["odd_legacy.pth", "odd_zip.pth"])
def test_views_types_and_parameters_are_read(name):
    folder = golden_folder() / "abeja" / "weights"
    with np.load(str(folder / "odd.npz")) as expected:
        _assert_equal(state_dict.read(str(folder / name)), dict(expected))


def test_a_file_that_asks_for_a_class_is_refused_by_its_name():
    path = golden_folder() / "abeja" / "weights" / "whole_module_zip.pth"
    with pytest.raises(UserError, match=r"whole_module_zip\.pth.*Tiny"):
        state_dict.read(str(path))


@pytest.mark.parametrize(
    "number", [np.float64(0.53125), np.float32(-2.5), np.int64(7), np.bool_(1)]
)
def test_numbers_of_numpy_beside_the_state_dict_are_admitted(number, tmp_path):
    path = tmp_path / "best_model.pkl"
    torch_writer.write(path, _ARRAYS, lambda state: {"model_state": state, "best_iou": number})
    _assert_equal(state_dict.read(str(path)), _ARRAYS)


@pytest.mark.parametrize("number", [0.53125, -7.0])
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<i8", "|i1"])
def test_a_number_of_numpy_has_its_value(number, dtype):
    pickled = pickle.dumps({"best": np.array([number]).astype(dtype)[0]}, 2)
    found = state_dict._Unpickler(io.BytesIO(pickled)).load()
    assert found == {"best": np.array([number]).astype(dtype)[0].item()}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(3), "_reconstruct"),
        (np.dtype("O"), "NumPy's type O8"),
        (np.dtype([("a", "f4")]), "NumPy's type V4"),
        (np.datetime64("2020-01-01"), "NumPy's type M8"),
        (np.str_("text"), "NumPy's type"),
        (np.add, "numpy"),
    ],
)
def test_what_numpy_has_beside_numbers_is_refused(value, message, tmp_path):
    path = tmp_path / "best_model.pkl"
    torch_writer.write(path, _ARRAYS, lambda state: {"model_state": state, "best_iou": value})
    with pytest.raises(UserError, match=message):
        state_dict.read(str(path))


class _Runs:
    def __reduce__(self):
        return print, ("this must not run",)


def test_a_pickle_that_would_run_something_is_refused(tmp_path, capsys):
    path = tmp_path / "evil.pth"
    torch_writer.write(path, _ARRAYS, lambda state: {"state_dict": state, "more": _Runs()})
    with pytest.raises(UserError, match=r"evil\.pth.*print"):
        state_dict.read(str(path))
    assert "must not run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda state: {"state_dict": state, "epoch": 7},
        lambda state: {"model": {f"module.{name}": value for name, value in state.items()}},
        lambda state: {"model_state": {f"model.{name}": v for name, v in state.items()}},
        lambda state: {"state_dict": {f"model.module.{name}": v for name, v in state.items()}},
        lambda state: {"state_dict": {f"_orig_mod.{name}": v for name, v in state.items()}},
        lambda state: {
            f"module.{name}" if name.startswith("conv") else name: v for name, v in state.items()
        },
    ],
)
def test_wrappers_are_taken_off(wrap, tmp_path):
    torch_writer.write(tmp_path / "net.pth", _ARRAYS, wrap)
    _assert_equal(state_dict.read(str(tmp_path / "net.pth")), _ARRAYS)


def test_of_two_tensors_of_one_name_the_one_with_a_prefix_keeps_it(tmp_path):
    arrays = {"module.bias": np.float32([1]), "bias": np.float32([2]), "module.w": np.float32([3])}
    torch_writer.write(tmp_path / "net.pth", arrays)
    expected = {
        "module.bias": arrays["module.bias"],
        "bias": arrays["bias"],
        "w": arrays["module.w"],
    }
    _assert_equal(state_dict.read(str(tmp_path / "net.pth")), expected)


def _write_safetensors(path, arrays, types=None, change=lambda header: header):
    header, content = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        data = array.tobytes()
        header[name] = {
            "dtype": (types or {}).get(name, "F32"),
            "shape": list(array.shape),
            "data_offsets": [len(content), len(content) + len(data)],
        }
        content += data
    text = json.dumps(change(header)).encode("utf-8")
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)


def test_safetensors_are_read_bfloat16_as_float32(tmp_path):
    path = tmp_path / "net.safetensors"
    arrays = {**_ARRAYS, "half": np.array([0x3F80, 0xC000], np.uint16)}
    _write_safetensors(path, arrays, {"half": "BF16"})
    assert state_dict.is_state_dict(str(path))
    expected = {**_ARRAYS, "half": np.array([1.0, -2.0], np.float32)}
    _assert_equal(state_dict.read(str(path)), expected)


def test_safetensors_that_reach_beyond_the_file_are_refused(tmp_path):
    def change(header):
        header["conv.bias"]["data_offsets"][1] += 8000
        return header

    _write_safetensors(tmp_path / "net.safetensors", _ARRAYS, change=change)
    with pytest.raises(UserError, match=r"net\.safetensors.*conv\.bias"):
        state_dict.read(str(tmp_path / "net.safetensors"))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", ["tiny_legacy.pth", "tiny_zip.pth"])
def test_a_truncated_file_is_refused_with_its_name(name, share, tmp_path):
    content = (golden_folder() / "abeja" / "weights" / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=name):
        state_dict.read(str(tmp_path / name))


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path):
    path = tmp_path / "short.pth"
    torch_writer.write(path, _ARRAYS)
    content = path.read_bytes()
    # The first dimension, 2, of the kernel's shape (2, 3, 2, 2) becomes 200.
    shape = pickle.dumps((2, 3, 2, 2), 2)[2:-3]
    assert content.count(shape) == 1
    damaged = content.replace(shape, shape.replace(b"K\x02", b"K\xc8", 1))
    (tmp_path / "short.pth").write_bytes(damaged)
    with pytest.raises(UserError, match=r"short\.pth"):
        state_dict.read(str(path))


def test_a_file_without_tensors_is_refused(tmp_path):
    torch_writer.write(tmp_path / "none.pth", {}, lambda unused_state: {"epoch": 3})
    with pytest.raises(UserError, match="holds no state dict"):
        state_dict.read(str(tmp_path / "none.pth"))
