"""What benchmarks share: fair timing, the machine in words, tables and JSON files."""

from __future__ import annotations

import gc
import json
import os
import platform
import time

from utils.files import write_text


def interleaved(functions: dict, repetitions: int) -> dict:
    """Times functions in turn, so that a busy moment of the machine does not hit only one of them.

    Every function runs once untimed before (caches, lazy imports).

    Args:
      functions: Name -> function without arguments.
      repetitions: How often each function is timed.

    Returns:
      Name -> list of seconds, in the order they were measured.
    """
    for function in functions.values():
        function()
    seconds = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            gc.collect()
            begin = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def conditions() -> dict:
    """Returns what a figure depends on: `machine`, `versions` and `commit`."""
    from core.runs import folder

    return {
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "load_average": round(os.getloadavg()[0], 2),
            "system": platform.platform(),
        },
        "versions": folder.versions(),
        "commit": folder.git_commit(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line[:10] == "model name"]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def in_words(found: dict) -> str:
    """Returns what `conditions` found as one line."""
    machine = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, load {machine['load_average']} at the "
        f"start; {versions}; commit {found['commit']}."
    )


def table(rows: list) -> str:
    """Returns a Markdown table.

    Args:
      rows: Dicts with the same keys, which become the header; numbers are set to the right.
    """
    header = list(rows[0])
    numeric = [all(isinstance(row[name], (int, float)) for row in rows) for name in header]
    lines = [header, ["---:" if right else "---" for right in numeric]]
    lines += [[cell(row[name]) for name in header] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value) -> str:
    """Returns a value as tables show it: three digits, or whole numbers."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def write_json(path: str, content: dict):
    """Writes what was measured, complete or not at all."""
    write_text(path, json.dumps(content, indent=1) + "\n")
