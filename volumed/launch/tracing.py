"""Gives the spans of this process to an OpenTelemetry collector, where one is configured."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

from oslo_config import cfg

from volumed.model import tracing
from volumed.model.errors import ConfigurationError
from volumed.model.tracing import PARENT, Attributes, Note
from volumed.rpc.patience import within

LOG = logging.getLogger(__name__)

#: Seconds that the end of a process waits for a collector to take the last spans.
FAREWELL = 5.0


@contextmanager
def traced(conf: cfg.ConfigOpts, service: str) -> Iterator[None]:
    """Send the spans of the block, as those of ``service``; begun after a fork, never before one.

    Raises ``ConfigurationError`` where a collector is configured and OpenTelemetry is not installed.
    """
    if not conf.tracing.endpoint:
        yield
        return
    provider = _provider(conf, service)
    tracing.tell(_Tracer(provider))
    try:
        yield
    finally:
        tracing.tell(None)
        try:
            within(FAREWELL, provider.shutdown)
        except Exception as error:
            LOG.warning("the last spans were not sent: %s", error or "the collector is silent")


def _provider(conf: cfg.ConfigOpts, service: str) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
    except ImportError as error:
        reason = f"it needs OpenTelemetry, the extra volumed[otel]: {error}"
        raise ConfigurationError(option="[tracing] endpoint", reason=reason) from error
    about = {"service.name": service, "service.version": metadata.version("volumed"), "host.name": conf.host}
    provider = TracerProvider(sampler=ParentBasedTraceIdRatio(conf.tracing.sampled), resource=Resource.create(about))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=conf.tracing.endpoint)))
    return provider


class _Tracer:
    """OpenTelemetry's in the form of ``volumed.model.tracing``."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = provider.get_tracer("volumed")
        self._words = TraceContextTextMapPropagator()

    @contextmanager
    def span(self, name: str, parent: str | None, attributes: Attributes) -> Iterator[Note]:
        context = None if parent is None else self._words.extract({PARENT: parent})
        with self._tracer.start_as_current_span(
            name, context, attributes=dict(attributes), record_exception=False, set_status_on_exception=False
        ) as span:

            def note(attributes: Attributes, name: str | None = None) -> None:
                span.set_attributes(dict(attributes))
                if name is not None:
                    span.update_name(name)

            try:
                yield note
            except BaseException as error:
                _fail(span, type(error).__name__)
                raise

    def present(self) -> str | None:
        words: dict[str, str] = {}
        self._words.inject(words)
        return words.get(PARENT)


def _fail(span: Any, error: str) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attribute("error.type", error)
    span.set_status(StatusCode.ERROR)
