"""Writes PyTorch's zip format without PyTorch, for tests."""

import io
import pickle
import sys
import types
import zipfile
from unittest import mock

import numpy as np


class _Storage:
    def __init__(self, key, array):
        self.key, self.array = key, array


def write(path, arrays: dict, wrap=lambda state: state, size=None):
    """Writes float32 arrays by name.

    Args:
      path: The file.
      arrays: Name -> array.
      wrap: What becomes of the state dict before it is pickled.
      size: Elements that references to storages claim, if not those that are there.
    """
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})

    def _rebuild_tensor_v2():
        raise NotImplementedError

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = (
        "torch._utils",
        "_rebuild_tensor_v2",
    )
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    storages = {
        name: _Storage(str(number), array) for number, (name, array) in enumerate(arrays.items())
    }

    class Tensor:
        def __init__(self, storage):
            self._storage = storage

        def __reduce__(self):
            shape = self._storage.array.shape
            strides = tuple(
                int(np.prod(shape[axis + 1 :], dtype=int)) for axis in range(len(shape))
            )
            return _rebuild_tensor_v2, (self._storage, 0, shape, strides, False, {})

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            if isinstance(item, _Storage):
                count = size or item.array.size
                return ("storage", torch.FloatStorage, item.key, "cpu", count)
            return None

    buffer = io.BytesIO()
    with mock.patch.dict(sys.modules, {"torch": torch, "torch._utils": utils}):
        Pickler(buffer, 2).dump(wrap({name: Tensor(each) for name, each in storages.items()}))
    with zipfile.ZipFile(str(path), "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        for storage in storages.values():
            content = np.ascontiguousarray(storage.array, "<f4").tobytes()
            archive.writestr(f"archive/data/{storage.key}", content)
