"""Spans for OpenTelemetry; needs the extra ``otel``."""

from oslo_config import cfg

GROUP = "tracing"

OPTIONS = [
    cfg.URIOpt(
        "endpoint",
        schemes=["http", "https"],
        help="Where a collector takes OTLP over HTTP, http://127.0.0.1:4318/v1/traces; unset: no spans are made.",
    ),
    cfg.FloatOpt(
        "sampled",
        default=1.0,
        min=0,
        max=1,
        help="Part of the traces that is sent; of a request whose client traces it, the client's choice counts.",
    ),
]
