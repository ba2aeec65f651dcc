"""Who asks for what: goes with every request from the API through RPC to the log."""

from dataclasses import dataclass
from typing import Any

from volumed.model.errors import Invalid


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The asker; the ``project_id`` of a system's administrator is empty.

    ``request_id`` is ``req-UUID`` and named in every answer, operation and event.
    """

    user_id: str
    project_id: str
    is_admin: bool
    request_id: str
    roles: tuple[str, ...] = ()
    global_request_id: str | None = None

    @property
    def owner(self) -> str:
        """The project that something made for the asker belongs to. Raises ``Invalid`` for who asks for none."""
        if not self.project_id:
            raise Invalid(reason="The token is for no project, to which this could belong.")
        return self.project_id

    def to_dict(self) -> dict[str, Any]:
        """The context as plain values for the wire; docs/rpc.md lists the keys."""
        return {
            "user_id": self.user_id,
            "project_id": self.project_id,
            "is_admin": self.is_admin,
            "roles": list(self.roles),
            "request_id": self.request_id,
            "global_request_id": self.global_request_id,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RequestContext":
        """The context of a message; keys that another release sends are ignored, ``user``/``tenant`` understood."""
        return cls(
            user_id=str(values.get("user_id") or values.get("user") or "unknown"),
            project_id=str(values.get("project_id") or values.get("tenant") or "unknown"),
            is_admin=bool(values.get("is_admin", False)),
            request_id=str(values.get("request_id") or "req-unknown"),
            roles=tuple(str(role) for role in values.get("roles") or ()),
            global_request_id=values.get("global_request_id"),
        )
