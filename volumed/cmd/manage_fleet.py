"""The commands of ``volumed-manage`` for a fleet: its database, its services, its configuration."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oslo_config import cfg

    from volumed.db.engine import Database

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

Run = Callable[[argparse.Namespace], int]


def register(commands: "Commands") -> None:
    """Add the commands."""
    database = _group(commands, "db", "the schema of the fleet's database")
    _add(database, "upgrade", "bring the schema to this release; services of the release before may run meanwhile", _up)
    _add(database, "version", "print the schema's revision", _version)
    _add(database, "check", "exit status 0 when this release can work with the schema, 2 when not", _check)
    service = _group(commands, "service", "the services that report")
    listing = _add(service, "list", "every service, and whether it is heard of", _list)
    listing.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    remove = _add(service, "remove", "forget a service that is down", _remove)
    remove.add_argument("binary", nargs="?", metavar="BINARY", help="volumed-volume or volumed-scheduler")
    remove.add_argument("host", nargs="?", metavar="HOST", help="host@backend of a volume service, else the node")
    remove.add_argument(
        "--lost",
        action="store_true",
        help="it never comes back: what it was asked for ends as failed without it; without BINARY and HOST, every"
        " volume service that is down without having said so",
    )
    configuration = _group(commands, "config", "the configuration of a fleet")
    _add(configuration, "check", "name the first option that is unknown, wrong or contradicts another", _check_config)


def _up(options: argparse.Namespace) -> int:
    from volumed.launch import administration

    return _on_fleet(options, lambda conf, database: print(administration.upgrade(conf, database)))


def _version(options: argparse.Namespace) -> int:
    from volumed.db import migrate

    return _on_fleet(options, lambda conf, database: print(migrate.version(database) or "empty"))


def _check(options: argparse.Namespace) -> int:
    from volumed.db import migrate

    return _on_fleet(options, lambda conf, database: migrate.check(database))


def _list(options: argparse.Namespace) -> int:
    from volumed.launch import administration

    return _on_fleet(options, lambda conf, database: _print(administration.listed(conf, database), options.json))


def _print(services: list[dict[str, Any]], as_json: bool) -> None:
    from volumed.client.answer import Answer, print_answer, table

    columns = ("binary", "host", "zone", "enabled", "state", "age", "rpc", "reason")
    rows = [tuple(service[column] for column in columns) for service in services]
    print_answer(Answer({"services": services}, lambda: table(columns, rows)), as_json)


def _remove(options: argparse.Namespace) -> int:
    from volumed.launch import administration
    from volumed.model.errors import ConfigurationError

    if options.host is None and not (options.lost and options.binary is None):
        raise ConfigurationError(option="service remove", reason="name BINARY and HOST, or --lost alone")

    def remove(conf: "cfg.ConfigOpts", database: "Database") -> None:
        if options.binary is None:
            told = administration.remove_lost(conf, database) or ["no volume service is lost"]
        else:
            told = [administration.remove(conf, database, options.binary, options.host, options.lost)]
        print("\n".join(told))

    return _on_fleet(options, remove)


def _check_config(options: argparse.Namespace) -> int:
    from volumed.launch import configuration

    conf = configuration.of_fleet(options.config_file)
    for remark in configuration.contradictions(conf):
        print(f"warning: {remark}")
    print(f"{', '.join(str(path) for path in options.config_file)}: every option is known and has a value it may have")
    return 0


def _on_fleet(options: argparse.Namespace, work: "Callable[[cfg.ConfigOpts, Database], None]") -> int:
    from volumed.launch import administration

    with administration.opened(options.config_file) as (conf, database):
        work(conf, database)
    return 0


def _group(commands: "Commands", name: str, about: str) -> "Commands":
    return commands.add_parser(name, help=about).add_subparsers(metavar="COMMAND", required=True)


def _add(commands: "Commands", name: str, about: str, run: Run) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=about)
    parser.add_argument(
        "--config-file", type=Path, action="append", default=[], required=True, metavar="FILE", help="the fleet's"
    )
    parser.set_defaults(run=run)
    return parser
