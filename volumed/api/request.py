"""A request as the handlers see it: who asks, in which microversion, with which body."""

from typing import Any

import falcon

from volumed.model.context import RequestContext
from volumed.model.errors import NotFound


class ApiRequest(falcon.Request):
    """Falcon's request with what the middleware found out. ``minor`` is the microversion's, of major 3."""

    __slots__ = ("_caller", "body", "global_request_id", "minor", "path_project", "request_id")

    def __init__(self, env: dict[str, Any], options: falcon.RequestOptions | None = None) -> None:
        super().__init__(env, options=options)
        self._caller: RequestContext | None = None
        self.body = b""
        self.minor = 0
        self.path_project: str | None = None
        self.request_id = ""
        self.global_request_id: str | None = None

    @property
    def caller(self) -> RequestContext:
        """Who asks; never asked for on a path that needs no identity."""
        assert self._caller is not None, "the path is open to everybody"
        return self._caller

    @caller.setter
    def caller(self, caller: RequestContext) -> None:
        self._caller = caller

    def since(self, minor: int) -> None:
        """Refuse the request as unknown before microversion 3.``minor``."""
        if self.minor < minor:
            raise NotFound("The resource could not be found.")
