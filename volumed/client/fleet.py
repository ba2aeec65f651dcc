"""Commands on the fleet: services, pools."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from volumed.client.answer import Answer, table
from volumed.client.rest import Rest

if TYPE_CHECKING:
    from volumed.client.arguments import Commands


def register(commands: "Commands", connection: ArgumentParser) -> None:
    """Add the commands."""
    parser = commands.add_parser("services", parents=[connection], help="list services (administrators)")
    parser.set_defaults(run=services)
    parser = commands.add_parser("pools", parents=[connection], help="list pools and their space (administrators)")
    parser.set_defaults(run=pools)


def services(rest: Rest, args: Namespace) -> Answer:
    """``volumed services``."""
    document = rest.get("/os-services")
    return Answer(
        document,
        lambda: table(
            ("service", "host", "zone", "enabled", "state", "last report", "why"),
            (
                (
                    row["binary"],
                    row["host"],
                    row["zone"],
                    "yes" if row["status"] == "enabled" else "no",
                    row["state"],
                    row["updated_at"],
                    row.get("disabled_reason") or row.get("volumed:state_reason"),
                )
                for row in document["services"]
            ),
        ),
    )


def pools(rest: Rest, args: Namespace) -> Answer:
    """``volumed pools``."""
    document = rest.get("/scheduler-stats/get_pools", detail="true")
    return Answer(
        document,
        lambda: table(
            ("pool", "total GiB", "free GiB", "allocated GiB", "volumes", "thin", "over-subscription"),
            (_pool_row(row["name"], row["capabilities"]) for row in document["pools"]),
        ),
    )


def _pool_row(name: str, capabilities: dict[str, Any]) -> tuple[Any, ...]:
    return (
        name,
        _gibibytes(capabilities.get("total_capacity_gb")),
        _gibibytes(capabilities.get("free_capacity_gb")),
        _gibibytes(capabilities.get("allocated_capacity_gb")),
        capabilities.get("total_volumes"),
        "yes" if capabilities.get("thin_provisioning_support") else "no",
        capabilities.get("max_over_subscription_ratio"),
    )


def _gibibytes(value: Any) -> Any:
    """A measured size to one decimal; the API may also say ``unknown`` or ``infinite``."""
    return f"{value:.1f}" if isinstance(value, float) else value
