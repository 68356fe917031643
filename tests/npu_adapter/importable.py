"""Makes the stand-in importable in the process of a test, and removes it again."""

import contextlib
import os
import pathlib
import sys

from tests.npu_adapter import session
from utils.compat import tf

LAYOUTS = {"npu_bridge": "bridge", "npu_device": "device"}
_VARIABLES = ("JOB_ID", "RANK_", "DEVICE_", "CM_", "ASCEND_")


def clean(environment):
    """Returns the variables that have nothing to do with NPUs."""
    return {name: value for name, value in environment.items() if not name.startswith(_VARIABLES)}


@contextlib.contextmanager
def adapter(package, monkeypatch):
    """Makes one layout importable, with a device in its initial state."""
    for name in set(os.environ) - set(clean(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.syspath_prepend(str(pathlib.Path(__file__).parent / LAYOUTS[package]))
    monkeypatch.setattr(session, "SYSTEM", session.System())
    monkeypatch.setenv("JOB_ID", "test")
    constructor = tf.Session.__init__
    try:
        yield
    finally:
        tf.Session.__init__ = constructor
        for name, module in list(sys.modules.items()):
            if name.split(".")[0] in LAYOUTS:
                if hasattr(module, "UNINSTALL"):
                    module.UNINSTALL()
                del sys.modules[name]
