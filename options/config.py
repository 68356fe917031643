"""All options of one command in one object: their values, which were given, and where from.

A command makes its `Config` once, from flags, and joins it once with what was saved beside the
checkpoint that it uses (`options.saved`). Everything below is handed this object.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil

import common
import options
from common import Options
from options import network
from options.architectures import ArchitectureOptions
from options.network import NetworkSpec
from utils.errors import OptionError

# Where a value comes from. Beside these: "file:PATH" for a flag file, "saved:PATH" for the options
# beside a checkpoint, "counted:SPLIT" for what the data give.
DEFAULT = "default"
FLAG = "flag"
FILE = "file:"
SAVED = "saved:"
COUNTED = "counted:"

# The section of `options.json` that says where given options come from.
ORIGINS = "origins"

# Sections of a training that do not decide what is learned.
_NOT_OF_A_RUN = ("command", "evaluation")


@dataclasses.dataclass(frozen=True)
class Config:
    """All options of one command.

    A record is an attribute by the name of its section: `config.train.seed`.

    Attributes:
      records: Section -> option record. No option stands in two of them.
      origins: Option name -> where its value comes from; names that are missing have their default.

    Raises:
      OptionError: If options of different records contradict each other.
    """

    records: dict
    origins: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        names = [name for record in self.records.values() for name in record.names()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands in two option records.")
        unknown = sorted(set(self.origins).difference(names))
        if unknown:
            raise ValueError(f"{', '.join(unknown)} has an origin, but is no option.")
        for record in self._in_use().values():
            record.check_with(self.records)

    @classmethod
    def of(cls, *records: Options, given=()) -> Config:
        """Makes a config of records; `given` names the options that were set on purpose."""
        return cls({record.SECTION: record for record in records}, dict.fromkeys(given, FLAG))

    @classmethod
    def create(cls, classes, values: dict, origins: dict | None = None) -> Config:
        """Makes the records of some classes from option names and values.

        Args:
          classes: Option record classes.
          values: Option name -> value; the others have their defaults.
          origins: Option name -> where it comes from; unset: all values were given on purpose.

        Raises:
          OptionError: If a name is unknown or a value is refused.
        """
        config = cls({record.SECTION: record() for record in classes})
        return config.with_values(
            values, dict.fromkeys(values, FLAG) if origins is None else origins
        )

    @classmethod
    def from_flags(cls, classes, flag_values) -> Config:
        """Makes the records of some classes from parsed flags.

        Raises:
          OptionError: If a value is refused.
        """
        records = [common.from_flags(record, flag_values) for record in classes]
        names = {name for record in records for name in record.names()}
        return cls.of(*records, given=common.given_flags(flag_values) & names)

    def __getattr__(self, section: str):
        records = self.__dict__.get("records", {})
        if section in records:
            return records[section]
        raise AttributeError(f"this config has no section {section!r}, but {', '.join(records)}.")

    @property
    def spec(self) -> NetworkSpec:
        """The network: backbone and chosen architecture."""
        chosen = network.options_of(self.network.architecture)
        return NetworkSpec(self.network, self.records.get(chosen.SECTION) or chosen())

    @property
    def given(self) -> frozenset:
        """Names of the options that were set on purpose, in flags or a flag file."""
        return frozenset(
            name
            for name, origin in self.origins.items()
            if origin == FLAG or origin.startswith(FILE)
        )

    def origin(self, name: str) -> str:
        """Returns where the value of an option comes from."""
        return self.origins.get(name, DEFAULT)

    def check_given(self):
        """Raises OptionError if an option of another architecture was given."""
        network.check_given(self.network.architecture, self.given)

    def refuse(self, names, where: str):
        """Raises OptionError if an option was given that has no effect in this case.

        Args:
          names: Names of those without effect.
          where: The case, such as "with --model, which holds the network".
        """
        common.refuse_given(self.given, names, where)

    def check_count(self, name: str, stated: int, found: int):
        """Raises OptionError if a number of images was given that is not the one found.

        Args:
          name: The option that states it.
          stated: Its value.
          found: The number of images in the records.
        """
        if name in self.given and stated != found:
            raise OptionError(
                f"--{name} is {stated}, but the records hold {found} images; leave the flag out or "
                "fix the records."
            )

    def values(self) -> dict:
        """Returns option name -> plain value, without the options of other architectures."""
        return {
            name: value
            for record in self._in_use().values()
            for name, value in record.to_dict().items()
        }

    def held(self) -> dict:
        """Returns option name -> plain value of the options that a continued run may not change."""
        return {
            name: value
            for section, record in self._in_use().items()
            if section not in _NOT_OF_A_RUN
            for name, value in record.to_dict().items()
            if name not in record.changeable()
        }

    def replace(self, **records: Options) -> Config:
        """Returns the config with other records, by section."""
        unknown = sorted(set(records) - set(self.records))
        if unknown:
            raise ValueError(f"this config has no section {', '.join(unknown)}.")
        return Config({**self.records, **records}, self.origins)

    def with_values(self, values: dict, origin) -> Config:
        """Returns the config with other values of some options.

        Args:
          values: Option name -> value.
          origin: Where they come from; one for all, or a dict by option name.

        Raises:
          OptionError: If a name is unknown or a value is refused.
        """
        sections = {
            name: section for section, record in self.records.items() for name in record.names()
        }
        unknown = sorted(set(values) - set(sections))
        if unknown:
            raise OptionError(
                f"{', '.join(unknown)}: no such option here; the known ones are "
                f"{', '.join(sorted(sections))}."
            )
        changes = {}
        for name, value in values.items():
            changes.setdefault(sections[name], {})[name] = value
        changed = {
            section: self.records[section].replace(**new) for section, new in changes.items()
        }
        origins = origin if isinstance(origin, dict) else dict.fromkeys(values, origin)
        return Config({**self.records, **changed}, {**self.origins, **origins})

    def to_dict(self) -> dict:
        """Returns section -> plain values, and under "origins" where given ones come from."""
        content = {section: record.to_dict() for section, record in self._in_use().items()}
        names = set(self.values())
        return {
            **content,
            ORIGINS: {name: self.origins[name] for name in sorted(names & set(self.origins))},
        }

    @classmethod
    def from_dict(cls, content: dict) -> Config:
        """Makes a config from the result of `to_dict`.

        Raises:
          OptionError: If a section or a name is unknown, or a value is refused.
        """
        classes = record_classes()
        unknown = sorted(set(content) - set(classes) - {ORIGINS})
        if unknown:
            raise OptionError(
                f"{', '.join(unknown)}: no such section of options; the known ones are "
                f"{', '.join(sorted(classes))}."
            )
        records = {
            section: classes[section].from_dict(values)
            for section, values in content.items()
            if section != ORIGINS
        }
        if "network" in records:
            # Those of architectures that were not chosen are not saved.
            for record in network.ARCHITECTURES.values():
                records.setdefault(record.SECTION, record())
        return cls(records, dict(content.get(ORIGINS, {})))

    def difference(self, other: Config) -> dict:
        """Returns option name -> (value here, value there) of the options that differ.

        An option that only one of the two has counts with its default in the other.
        """
        mine, theirs = self.values(), other.values()
        defaults = {**other._defaults(), **self._defaults()}
        found = {}
        for name in [*mine, *(name for name in theirs if name not in mine)]:
            pair = mine.get(name, defaults[name]), theirs.get(name, defaults[name])
            if pair[0] != pair[1]:
                found[name] = pair
        return found

    def _in_use(self) -> dict:
        """Returns section -> record, without those of architectures that were not chosen."""
        if "network" not in self.records:
            return self.records
        # Building the network checks its records against each other.
        chosen = type(self.spec.architecture)
        return {
            section: record
            for section, record in self.records.items()
            if not isinstance(record, ArchitectureOptions) or type(record) is chosen
        }

    def _defaults(self) -> dict:
        return {
            name: value
            for record in self.records.values()
            for name, value in type(record)().to_dict().items()
        }


def record_classes() -> dict:
    """Returns section -> option record class, of all modules of `options/`."""
    found = {}
    for module_info in pkgutil.walk_packages(options.__path__, f"{options.__name__}."):
        module = importlib.import_module(module_info.name)
        for value in vars(module).values():
            is_record = isinstance(value, type) and issubclass(value, Options) and value.SECTION
            if is_record and found.setdefault(value.SECTION, value) is not value:
                raise ValueError(f"two option records have the section {value.SECTION}.")
    return found
