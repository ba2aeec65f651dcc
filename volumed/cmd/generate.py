"""``python -m volumed.cmd.generate``: writes what is derived from the code, the same on every machine.

``etc/volumed.conf.sample``, ``etc/policy.yaml.sample``, ``docs/configuration.md``, ``docs/requests.md`` and
``docs/openapi.json``.
"""

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from volumed import conf
from volumed.driver.registry import DRIVERS, driver_options
from volumed.launch.concurrency import choose_threading
from volumed.model import requests, states

#: Width of a comment in the samples.
WIDTH = 100

HEADER = "made by `make docs` from the code; change it there"

OTHERS = (
    "oslo.messaging's own options are understood beside them: `transport_url` names the broker, "
    "`[oslo_messaging_rabbit]` has the details, of which those are listed here that matter ([RPC](rpc.md)). "
    "So are oslo.log's (`use_json`, `log_file`, `use_journal`, ...), which the services of a fleet follow "
    "([logs](logs.md)), oslo.middleware's in `[cors]` and keystonemiddleware's in `[keystone_authtoken]` "
    "([API tier](api-tier.md)). "
    "An option that nobody knows is refused when a service starts, naming the file."
)

REQUESTS = (
    "`run`: accepted, an operation carries it out. `join`: the same is under way already; the answer names it. "
    "`400`: refused in OpenStack's words. Whatever the status, a live operation on the resource refuses with 400 and "
    "is named; one that reads it as its source refuses what would change it. "
    "`extend_online` is an extend from microversion 3.42 on: that of an attached volume, also done again, is refused "
    "where its backend has not said that it can (`online_extend_support`). "
    "The moves of the statuses are in `volumed/model/states.py`."
)

Groups = Sequence[tuple[str, str, Sequence[Any]]]


def main(argv: Sequence[str] | None = None) -> int:
    """Write every generated file below a folder, by default the present one."""
    parser = argparse.ArgumentParser(prog="python -m volumed.cmd.generate", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path())
    folder = parser.parse_args(argv).folder
    choose_threading()
    for name, text in generated().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path)
    return 0


def generated() -> Mapping[str, str]:
    """What each generated file has to say."""
    groups = _groups()
    return {
        "etc/volumed.conf.sample": _sample(groups),
        "etc/policy.yaml.sample": _policies(),
        "docs/configuration.md": _reference(groups),
        "docs/requests.md": _requests(),
        "docs/openapi.json": _openapi(),
    }


def _groups() -> Groups:
    from volumed.rpc.transport import sample_options

    common: list[tuple[str, str, Sequence[Any]]] = []
    for name, options in _joined([*conf.list_opts(), *sample_options()]).items():
        about = "Stands for the group of each name in enabled_backends." if name == "backend" else ""
        common.append((name, about, options))
    ours = {entry.name for entry in entry_points(group=DRIVERS) if entry.dist and entry.dist.name == "volumed"}
    for driver in sorted(ours):
        options = driver_options(driver)
        if options:
            common.append(("backend", f"With volume_driver = {driver}.", options))
    return common


def _joined(groups: Sequence[tuple[str, Sequence[Any]]]) -> dict[str, list[Any]]:
    joined: dict[str, list[Any]] = {}
    for name, options in groups:
        joined.setdefault(name, []).extend(options)
    return joined


def _sample(groups: Groups) -> str:
    lines = [f"# Every option of volumed with its default; {HEADER}.", ""]
    seen: set[str] = set()
    for name, about, options in groups:
        if name not in seen:
            lines += ["", f"[{name}]"]
        seen.add(name)
        if about:
            lines += ["", f"# {about}"]
        for option in options:
            lines += ["", *_comment(option.help), *_comment(_limits(option))]
            lines.append(f"#{option.dest} = {_default(option)}".rstrip())
    return "\n".join(lines) + "\n"


def _comment(text: str) -> Iterator[str]:
    return (f"# {line}" for line in textwrap.wrap(text or "", WIDTH))


def _reference(groups: Groups) -> str:
    lines = ["# Configuration", "", f"Every option ({HEADER}).", "", OTHERS, ""]
    seen: set[str] = set()
    for name, about, options in groups:
        lines += [f"## [{name}]", ""] if name not in seen else []
        lines += [about, ""] if about else []
        seen.add(name)
        lines += ["| option | default | meaning |", "| --- | --- | --- |"]
        for option in options:
            meaning = " ".join(part for part in (option.help, _limits(option)) if part)
            default = _default(option)
            lines.append(f"| `{option.dest}` | {f'`{default}`' if default else ''} | {meaning} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _default(option: Any) -> str:
    value = option.sample_default if option.sample_default is not None else option.default
    if value is None:
        return ""
    return ",".join(str(each) for each in value) if isinstance(value, list | tuple) else str(value)


def _limits(option: Any) -> str:
    kind = option.type
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    choices = [str(choice) for choice in getattr(kind, "choices", None) or ()]
    parts = [f"one of {', '.join(choices)}"] if choices else []
    parts += [f"at least {low:g}"] if low is not None else []
    parts += [f"at most {high:g}"] if high is not None else []
    return f"({'; '.join(parts)})" if parts else ""


def _policies() -> str:
    from volumed.api.policies import list_rules

    lines = [f"# Every policy of volumed with its default; {HEADER}.", ""]
    for rule in list_rules():
        lines += [*_comment(rule.description), f'#"{rule.name}": "{rule.check_str}"', ""]
    return "\n".join(lines).rstrip() + "\n"


def _requests() -> str:
    lines = ["# What happens to a request", "", f"By the status of its resource ({HEADER}).", "", REQUESTS, ""]
    tables: Sequence[tuple[str, Mapping[str, Mapping[str, str]], Sequence[str]]] = (
        ("volume", requests.VOLUME_REQUESTS, list(states.VolumeStatus)),
        ("snapshot", requests.SNAPSHOT_REQUESTS, list(states.SnapshotStatus)),
        ("attachment", requests.ATTACHMENT_REQUESTS, list(states.AttachStatus)),
    )
    for resource, table, statuses in tables:
        lines += [f"## On a {resource}", "", f"| status | {' | '.join(table)} |", f"| --- |{' --- |' * len(table)}"]
        lines += [
            f"| `{status}` | {' | '.join(table[request].get(status, '400') for request in table)} |"
            for status in statuses
        ]
        lines.append("")
    return "\n".join(lines)


def _openapi() -> str:
    from volumed.api.openapi.document import document

    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
