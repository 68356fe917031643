"""The adapter of TensorFlow 2. Its attribute compat is not the package of that name."""

from npu_device._api import compat  # noqa: TID251
from tests.npu_adapter import session

UNINSTALL = session.install(lambda: bool(compat.ENABLED))
