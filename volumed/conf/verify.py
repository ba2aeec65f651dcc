"""Holds configuration files against the options that exist: oslo.config ignores what it does not know.

Told what is known; knows no drivers and no libraries.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg, types

from volumed.model.errors import ConfigurationError

#: Option that makes a group a backend's: one that is not enabled may stay in the file.
BACKEND_MARK = "volume_driver"

Known = Mapping[str, Sequence[Any]]


def read(path: Path) -> dict[str, dict[str, list[str]]]:
    """The file as groups of options. Raises ``ConfigurationError`` naming the file and, where it can, the line."""
    sections: dict[str, dict[str, list[str]]] = {}
    try:
        cfg.ConfigParser(str(path), sections).parse()
    except (cfg.ParseError, OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationError(option=f"configuration file {path}", reason=reason) from error
    return sections


def refuse_unknown(path: Path, known: Known) -> None:
    """Raise ``ConfigurationError`` naming file, group and option of the first option in ``path`` that is not known."""
    for group, options in read(path).items():
        if group not in known:
            if BACKEND_MARK in options:
                continue
            raise ConfigurationError(option=f"{path}: [{group}]", reason=f"there is no such group{_near(group, known)}")
        names = _names(known[group])
        for option in options:
            if option.replace("-", "_") not in names:
                raise ConfigurationError(
                    option=f"{path}: [{group}] {option}", reason=f"there is no such option{_near(option, names)}"
                )


def refuse_wrong_values(conf: cfg.ConfigOpts, groups: Sequence[str]) -> None:
    """Read every option of ``groups`` once. Raises ``ConfigurationError`` naming the one whose value is wrong."""
    for group in groups:
        for name in (conf if group == "DEFAULT" else conf[group]).keys():  # noqa: SIM118 - a ConfigOpts is no mapping
            try:
                getattr(conf if group == "DEFAULT" else conf[group], name)
            except (ValueError, cfg.Error) as error:
                reason = _told(str(error).rpartition(" is not valid: ")[2], _type_of(conf, group, name))
                raise ConfigurationError(option=f"[{group}] {name}", reason=reason) from error


def _told(reason: str, wanted: Any) -> str:
    """Python's words for text that is no number tell nothing of what is wanted."""
    if not isinstance(wanted, types.Number) or not reason.startswith(("could not convert", "invalid literal")):
        return reason
    least, most = wanted.min, wanted.max
    limits = "" if least is None else f" from {least} on" if most is None else f" from {least} to {most}"
    return f"{reason.rpartition(': ')[2]} is not a number{limits}"


def _type_of(conf: cfg.ConfigOpts, group: str, name: str) -> Any:
    known = conf._opts if group == "DEFAULT" else conf._groups[group]._opts
    return known[name]["opt"].type if name in known else None


def _names(options: Sequence[Any]) -> frozenset[str]:
    current = {option.dest for option in options} | {option.name for option in options}
    former = {old.name for option in options for old in option.deprecated_opts if old.name}
    return frozenset(name.replace("-", "_") for name in current | former)


def _near(wrong: str, known: Mapping[str, Any] | frozenset[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(wrong, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
