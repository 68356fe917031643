"""Registries: a package is one, made of the VARIANTS dicts of its modules."""

from __future__ import annotations

import ast
import importlib
import pkgutil

from utils.errors import OptionError


def collect(package) -> dict:
    """Returns name -> record over all modules of a package that define VARIANTS.

    Raises:
      ValueError: If two modules define the same name.
    """
    found = {}
    for module_info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        for name, record in getattr(module, "VARIANTS", {}).items():
            if name in found:
                raise ValueError(f"{name} is defined twice in {package.__name__}.")
            found[name] = record
    return found


def names(package) -> list:
    """Returns the sorted names of `collect`, but reads the modules instead of importing them.

    So a wrong name is refused without waiting for TensorFlow. The keys of VARIANTS have to be
    string literals.
    """
    found = []
    for module_info in pkgutil.iter_modules(package.__path__):
        path = module_info.module_finder.find_spec(module_info.name).origin
        with open(path, encoding="utf-8") as file:
            tree = ast.parse(file.read())
        for node in tree.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "VARIANTS":
                found += [ast.literal_eval(key) for key in node.value.keys]
    return sorted(found)


def lookup(variants: dict, name: str, kind: str):
    """Returns the record of a name.

    Args:
      variants: From `collect`.
      name: The name that the user gave.
      kind: The flag or kind of variant for the message, such as "--model_variant".

    Raises:
      OptionError: If the name is unknown; the message lists the known ones.
    """
    if name not in variants:
        raise OptionError(f"{name} is not a known {kind}; known: {', '.join(sorted(variants))}.")
    return variants[name]
