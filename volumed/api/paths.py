"""Paths that need no identity."""

from typing import Final

OPEN: Final = frozenset({"/", "/v3", "/v3/openapi.json", "/healthcheck", "/metrics"})
