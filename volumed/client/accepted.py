"""A request that was accepted: its operation, waited for where the user wants it."""

from argparse import Namespace

from volumed.client.answer import FAILED, OK, Answer, sheet
from volumed.client.moments import between, duration
from volumed.client.rest import ClientError, Json, Refused, Reply, Rest
from volumed.client.waiting import wait_for


def accepted(rest: Rest, args: Namespace, reply: Reply, resource: str, resource_id: str) -> Answer:
    """The operation behind ``reply`` and the resource as it is now, ``null`` when it is gone."""
    operation = _operation(rest, args, reply, resource_id)
    now = _resource(rest, resource, resource_id)
    return Answer(
        {resource: now, "operation": operation},
        lambda: sheet(_facts(resource, resource_id, now, operation)),
        FAILED if operation["state"] == "failed" else OK,
    )


def _operation(rest: Rest, args: Namespace, reply: Reply, resource_id: str) -> Json:
    operation_id = reply.operation_id
    if operation_id is None:
        raise ClientError(f"the server does not say which operation works on {resource_id}; is it volumed?")
    if args.wait:
        return wait_for(rest, operation_id, args.timeout)
    operation: Json = rest.get(f"/operations/{operation_id}")["operation"]
    return operation


def _resource(rest: Rest, resource: str, resource_id: str) -> Json | None:
    try:
        found: Json = rest.get(f"/{resource}s/{resource_id}")[resource]
    except Refused as error:
        if error.code == 404:
            return None
        raise
    return found


def _facts(resource: str, resource_id: str, now: Json | None, operation: Json) -> list[tuple[str, object]]:
    error = operation.get("error") or {}
    return [
        (resource, resource_id),
        ("name", now and now.get("name")),
        ("size", now and f"{now['size']} GiB"),
        ("status", now["status"] if now else "deleted"),
        ("operation", operation["id"]),
        ("kind", operation["kind"]),
        ("state", operation["state"]),
        ("took", _took(operation)),
        ("error", error.get("message")),
    ]


def _took(operation: Json) -> str | None:
    passed = between(operation.get("created_at"), operation.get("ended_at"))
    return None if passed is None else duration(passed)
