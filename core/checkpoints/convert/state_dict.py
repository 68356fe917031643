"""State dicts in PyTorch's files and in safetensors, read without PyTorch.

A file of PyTorch is a pickle and the raw storages of its tensors, in a zip archive (since 1.6) or
one after the other (before). Unpickling runs what a file names, so this reader admits what a state
dict consists of and refuses everything else by name.
"""

from __future__ import annotations

import collections
import functools
import io
import json
import operator
import os
import pickle
import re
import zipfile
from typing import NamedTuple

import numpy as np

from utils.errors import UserError, reason_of

_ZIP_SIGNATURE = b"PK\x03\x04"
# The first pickle of the older format holds this number.
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_LEGACY_SIGNATURE = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_SAFETENSORS_HEADER = re.compile(rb'.{8}\{\s*"', re.DOTALL)

_BFLOAT16 = "bfloat16"
_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_SAFETENSORS_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": _BFLOAT16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
# Keys under which training programs keep the state dict of the network.
_WRAPPERS = ("state_dict", "model_state", "model")
# What wrappers put before the names of the networks in them: parallel training, Lightning,
# compilation.
_PREFIXES = ("module.", "model.", "_orig_mod.")
# A tensor that repeats its storage may be larger than the file, but not without end.
_MAX_ELEMENTS = 2**30


class _Storage(NamedTuple):
    """A storage by its key in the file, the type of its elements and their number."""

    key: str
    dtype: str
    size: int


class _Tensor(NamedTuple):
    """A view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple


def is_state_dict(path: str) -> bool:
    """Whether a file has one of the formats of this module, whatever its name."""
    with open(path, "rb") as file:
        start = file.read(64)
    return (
        start.startswith((_ZIP_SIGNATURE, _LEGACY_SIGNATURE))
        or _SAFETENSORS_HEADER.match(start) is not None
    )


def read(path: str) -> dict:
    """Returns name -> array of the state dict in a file, without what wrappers add to the names.

    Arrays have PyTorch's order (kernels [out, in, height, width]); bfloat16 becomes float32.

    Raises:
      UserError: If the file is damaged, asks for more than tensors, or holds no state dict.
    """
    with open(path, "rb") as file:
        start = file.read(len(_LEGACY_SIGNATURE))
    try:
        if start.startswith(_ZIP_SIGNATURE):
            arrays = _read_zip(path)
        elif start == _LEGACY_SIGNATURE:
            arrays = _read_legacy(path)
        else:
            arrays = _read_safetensors(path)
    except _DAMAGES as error:
        raise UserError(f"{path} cannot be read as a state dict ({reason_of(error)}).") from error
    if not arrays:
        raise UserError(
            f"{path} holds no state dict: no tensors by name, at the top or under one of "
            f"{', '.join(_WRAPPERS)}."
        )
    return _without_prefixes(arrays)


_DAMAGES = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


def _without_prefixes(arrays: dict) -> dict:
    """Returns the arrays under their names in the network.

    A wrapper need not hold all of a file's tensors: a loss may have weights of its own. Where two
    tensors would get one name, the one with the longer prefix keeps it.
    """
    found = {}
    for name in sorted(arrays, key=lambda name: len(name) - len(_without_prefix(name))):
        short = _without_prefix(name)
        found[name if short in found else short] = arrays[name]
    return found


def _without_prefix(name: str) -> str:
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return _without_prefix(name[len(prefix) :])
    return name


# The pickles.


class _NumberType:
    """NumPy's type of a number, such as the score that a training program keeps."""

    def __init__(self, name, *_):
        if not re.fullmatch(r"[?biuf]\d{0,2}", str(name)):
            raise pickle.UnpicklingError(f"it asks for NumPy's type {name}, but only for numbers")
        self._dtype = np.dtype(name)

    def __setstate__(self, state):
        _, order, *details = state
        if order not in tuple("<>|=") or any(isinstance(each, (tuple, dict)) for each in details):
            raise ValueError("a type of NumPy has an unknown form")
        self._dtype = self._dtype.newbyteorder(order)

    def number(self, content: bytes):
        """Returns the number that the bytes are."""
        (value,) = np.frombuffer(content, self._dtype)
        return value.item()


def _number(dtype, content):
    if not isinstance(dtype, _NumberType) or not isinstance(content, bytes):
        raise ValueError("a number of NumPy has an unknown form")
    return dtype.number(content)


def _bytes(text, encoding):
    # So the pickles of Python 3 hold bytes in the protocol that PyTorch uses.
    if encoding != "latin1":
        raise ValueError(f"bytes are encoded in {encoding}")
    return text.encode(encoding)


class _Unpickler(pickle.Unpickler):
    """An unpickler that admits the tensors of a state dict, plain containers and numbers.

    Attributes:
      types: Key of a storage -> type of its elements, of all storages that were named.
    """

    def __init__(self, file):
        super().__init__(file)
        self.types = {}

    def find_class(self, module, name):
        """Returns what stands for a global of a pickle, or refuses it."""
        found = _GLOBALS.get((module, name))
        if found is not None:
            return found
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(
            f"it asks for {module}.{name}, but only tensors and numbers are read; save the state "
            "dict alone, torch.save(model.state_dict(), PATH)"
        )

    def persistent_load(self, reference):
        """Returns the storage that a reference names."""
        kind, dtype, key, _, size, *view = reference
        if kind != "storage" or not isinstance(dtype, str) or any(view):
            raise ValueError("a reference to a storage is of an unknown form")
        self.types[str(key)] = dtype
        return _Storage(str(key), dtype, int(size))


def _tensor(storage, offset, shape, strides, *_):
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor has no storage")
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _parameter(data, *_):
    return data


_GLOBALS = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("_codecs", "encode"): _bytes,
    ("numpy", "dtype"): _NumberType,
    # NumPy 1 and 2.
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
}


def _tensors(content) -> dict:
    """Returns name -> `_Tensor` of the state dict in what a file holds."""
    if not isinstance(content, dict):
        return {}
    for key in _WRAPPERS:
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    return {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, _Tensor)
    }


def _read_zip(path) -> dict:
    with zipfile.ZipFile(path) as archive:
        (pickled,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        folder = pickled[: -len("data.pkl")]
        if f"{folder}byteorder" in archive.namelist():
            order = archive.read(f"{folder}byteorder").strip()
            if order != b"little":
                raise ValueError(f"its byte order is {order.decode('ascii', 'replace')}")
        tensors = _tensors(_Unpickler(io.BytesIO(_stored(archive, pickled))).load())
        keys = {tensor.storage.key for tensor in tensors.values()}
        storages = {key: _stored(archive, f"{folder}data/{key}") for key in keys}
    return {name: _array(tensor, storages) for name, tensor in tensors.items()}


def _stored(archive, name) -> bytes:
    """Returns an entry of an archive; PyTorch compresses none, so that sizes are the file's."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} in it is compressed")
    return archive.read(name)


def _read_legacy(path) -> dict:
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        number, *_ = (_Unpickler(file).load() for _ in range(3))
        if number != _MAGIC_NUMBER:
            raise ValueError("it does not begin as PyTorch's files do")
        unpickler = _Unpickler(file)
        tensors = _tensors(unpickler.load())
        # Storages of what else the file holds, such as an optimizer, lie between the others.
        types = unpickler.types
        storages = {}
        for key in _Unpickler(file).load():
            (count,) = np.frombuffer(file.read(8), "<i8")
            length = int(count) * _item_size(types[str(key)])
            if not 0 <= length <= size:
                raise ValueError("a storage is longer than the file")
            storages[str(key)] = file.read(length)
    return {name: _array(tensor, storages) for name, tensor in tensors.items()}


def _item_size(dtype) -> int:
    return 2 if dtype == _BFLOAT16 else np.dtype(dtype).itemsize


def _array(tensor: _Tensor, storages) -> np.ndarray:
    """Returns the values of a tensor.

    Raises:
      ValueError: If it reaches beyond its storage.
    """
    values = _values(storages[tensor.storage.key], tensor.storage.dtype)
    if len(tensor.shape) != len(tensor.strides) or min((0, *tensor.shape, *tensor.strides)) < 0:
        raise ValueError("a tensor has an impossible shape")
    if functools.reduce(operator.mul, tensor.shape, 1) > _MAX_ELEMENTS:
        raise ValueError("a tensor has too many elements")
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, values.dtype)
    steps = zip(tensor.shape, tensor.strides)
    last = tensor.offset + sum((side - 1) * stride for side, stride in steps)
    if not 0 <= tensor.offset <= last < len(values):
        raise ValueError("a tensor reaches beyond its storage")
    strides = [stride * values.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides)
    return np.array(view)


def _values(content: bytes, dtype: str) -> np.ndarray:
    if dtype == _BFLOAT16:
        # The upper half of a float32.
        return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(content, dtype)


# safetensors.


def _read_safetensors(path) -> dict:
    """Reads the format that https://github.com/huggingface/safetensors describes."""
    with open(path, "rb") as file:
        content = file.read()
    (length,) = np.frombuffer(content[:8], "<u8")
    end = 8 + int(length)
    if end > len(content):
        raise ValueError("its header is longer than the file")
    arrays = {}
    for name, entry in json.loads(content[8:end].decode("utf-8")).items():
        if name != "__metadata__":
            first, last = (end + int(offset) for offset in entry["data_offsets"])
            if not end <= first <= last <= len(content):
                raise ValueError(f"{name} reaches beyond the file")
            values = _values(content[first:last], _SAFETENSORS_TYPES[entry["dtype"]])
            arrays[name] = values.reshape(entry["shape"]).copy()
    return arrays
