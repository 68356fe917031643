"""Audits records or files: reads, counts, judges, writes the results."""

from __future__ import annotations

import json
import os

from datasets import formats
from datasets.audit import readers
from datasets.audit.counts import count
from datasets.audit.findings import PROBLEM, find
from datasets.audit.page import render
from datasets.audit.report import as_json, as_text
from datasets.convert.plan import plan
from datasets.dataset import Dataset
from options.config import FLAG, Config
from options.conversion import CONVERSION_RECORDS
from options.data import RecordsOptions
from utils import log, report, variants
from utils.errors import OptionError, UserError
from utils.files import check_writable, write_text

JSON_FILE = "audit.json"
PAGE_FILE = "audit.html"
# The conversion flags that an audit of records takes.
_FLAGS_OF_RECORDS = ("num_classes", "ignore_label", "splits", "num_workers", "output_dir")


def main(config: Config, path: str):
    """Audits.

    Args:
      config: Has CONVERSION_RECORDS and AuditOptions.
      path: A folder of records, or a format.

    Raises:
      OptionError: If options contradict each other or have no effect.
      UserError: If the data cannot be read, the folder cannot be written, or there are problems.
    """
    data = open_data(config, path)
    folder = config.conversion.output_dir
    if os.path.isdir(path) and "output_dir" not in config.given:
        folder = path
    findings = audit(data, config, folder)
    problems = sum(finding.level == PROBLEM for finding in findings)
    if problems:
        found = "1 problem" if problems == 1 else f"{problems} problems"
        raise UserError(f"{path} has {found}; {JSON_FILE} lists every case.")


def open_data(config: Config, path: str):
    """Returns `readers.Records` or `readers.Files`; reads no images.

    Raises:
      OptionError: If options contradict each other or have no effect.
      UserError: If the path is neither a folder of records nor a format.
    """
    if os.path.isdir(path):
        return _open_records(config, path)
    known = variants.collect(formats)
    if path not in known:
        raise UserError(
            f"{path} is neither a folder of records nor a format of files to convert "
            f"({', '.join(sorted(known))}); pass one of them."
        )
    if "dataset" in config.given:
        raise OptionError("--dataset is for records without a dataset.json; leave it out.")
    return readers.Files(path, plan(path, config))


def _open_records(config: Config, path: str) -> readers.Records:
    known = {name for record in CONVERSION_RECORDS for name in record.names()}
    config.refuse(known.difference(_FLAGS_OF_RECORDS), "on records, which are converted already")
    values = {
        "dataset_dir": path,
        "num_classes": config.classes.num_classes,
        "ignore_label": config.classes.ignore_label,
    }
    if config.audit.dataset is not None:
        values["dataset"] = config.audit.dataset
    origins = dict.fromkeys(config.given.intersection(values), FLAG)
    described = Dataset.open(Config.create((RecordsOptions,), values, origins)).description
    return readers.Records(path, described, config.conversion.splits)


def audit(data, config: Config, folder: str) -> list:
    """Reads everything, prints the result and writes it to a folder.

    Args:
      data: `readers.Records` or `readers.Files`.
      config: See `main`.
      folder: Where audit.json and audit.html go.

    Returns:
      The findings.

    Raises:
      UserError: If the folder cannot be written.
    """
    report.check_available()
    check_writable(folder, "--output_dir")
    counts = count(data, config.conversion.num_workers)
    findings = find(data, counts, config.audit.near_duplicates)
    log.message(as_text(data, counts, findings))
    content = json.dumps(as_json(data, counts, findings), indent=1)
    write_text(os.path.join(folder, JSON_FILE), content + "\n")
    page = render(data, counts, findings, config.audit.num_samples)
    write_text(os.path.join(folder, PAGE_FILE), page)
    log.message(f"{os.path.join(folder, PAGE_FILE)} shows it with pictures.")
    return findings
