"""Traces of requests by OpenTelemetry, which is imported only when they are wanted.

A span for each traced request at its door, and below it one for the queue and one for the engine,
made when the request is over from the times that are measured anyway: what is not traced
costs nothing. A caller's `traceparent` (W3C Trace Context) decides for itself and is the parent;
of the others one in `trace_rate` is traced (`TraceSettings`, which clients may change), and
with a rate of 0 none at all.
"""

import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from edgewright_runtime import __version__
from edgewright_runtime.errors import DoorUnavailable, RuntimeFault, one_line
from edgewright_runtime.serving.generation import Attempt
from edgewright_runtime.serving.inference.trace_settings import TraceSettings

_log = logging.getLogger(__name__)
_PARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
"""version, trace-id, parent-id, flags (https://www.w3.org/TR/trace-context/, 3.2)."""
_SAMPLED = 1
_EXPORT_S = 5.0
_FLUSH_MS = 2000
_MOST_SPANS = 4096
_BATCH_SPANS = 512
_EVERY_MS = 1000

DoorName = Literal["http", "grpc"]
Over = Callable[[Attempt], None]


class Tracing:
    """Sends spans to an OTLP collector over HTTP, from a thread of its own."""

    def __init__(self, endpoint: str, settings: TraceSettings) -> None:
        """`endpoint` is the collector's URL, e.g. http://127.0.0.1:4318/v1/traces.

        Raises DoorUnavailable when the extra is not installed.
        """
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ALWAYS_ON
            from opentelemetry.trace import SpanKind
        except ImportError as error:
            raise DoorUnavailable(
                f"traces need OpenTelemetry ({one_line(error)}); pip install "
                "'edgewright-runtime[otel]', or leave --traces out"
            ) from error
        self._settings = settings
        self._kind = SpanKind.SERVER
        self._provider = TracerProvider(
            resource=Resource.create(
                {"service.name": "edgewright", "service.version": __version__}
            ),
            sampler=ALWAYS_ON,  # what is not to be sampled never gets here
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_S)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=_MOST_SPANS,
                max_export_batch_size=_BATCH_SPANS,
                schedule_delay_millis=_EVERY_MS,
            )
        )
        self._tracer = self._provider.get_tracer("edgewright_runtime", __version__)

    def begin(
        self,
        door: DoorName,
        model: str,
        request_id: str | None,
        traceparent: bytes | None,
        started: float,
        input_s: float,
    ) -> Over | None:
        """What to call when the request is over; None for one that is not traced.

        `started` is when the door began with it (time.perf_counter), `input_s` how long it took to
        read.
        """
        settings = self._settings.shown(model)
        rate = int(settings["trace_rate"])
        if settings["trace_level"] == ["OFF"] or not rate:
            return None
        parent = _PARENT.fullmatch(traceparent) if traceparent else None
        if parent is not None:
            if not int(parent[3], 16) & _SAMPLED:
                return None
        elif random.random() * rate >= 1:  # noqa: S311  # a sample
            return None
        context = None if parent is None else _context(parent)
        attributes = {"edgewright.door": door, "edgewright.model": model}
        if request_id:
            attributes["edgewright.request_id"] = request_id

        def over(attempt: Attempt) -> None:
            self._write(attributes, context, started, input_s, attempt)

        return over

    def close(self) -> None:
        """Send what is left, for two seconds at most; blocks."""
        if not self._provider.force_flush(_FLUSH_MS):
            _log.warning("traces lost: the collector does not take them")
        self._provider.shutdown()

    def _write(
        self,
        attributes: Mapping[str, str],
        context: Any,  # opentelemetry's, whose types are an extra
        started: float,
        input_s: float,
        attempt: Attempt,
    ) -> None:
        ends = time.time_ns()
        begins = ends - _nanoseconds(time.perf_counter() - started)
        by = attempt.answered_by
        span = self._tracer.start_span(
            f"infer {attributes['edgewright.model']}",
            context=context,
            kind=self._kind,
            start_time=begins,
            attributes={
                **attributes,
                "edgewright.version": by.artifact.version,
                "edgewright.generation": by.name,
                "edgewright.batch": attempt.batch,
            },
        )
        from opentelemetry.trace import set_span_in_context

        within = set_span_in_context(span)
        queued = begins + _nanoseconds(input_s)
        ran = queued + _nanoseconds(attempt.waited_s)
        self._stage("queue", within, queued, ran, {})
        if attempt.engine_s:
            engine = {"edgewright.placement": by.session.placement}
            self._stage("engine", within, ran, ran + _nanoseconds(attempt.engine_s), engine)
        if attempt.error is not None:
            self._fail(span, attempt.error)
        span.end(ends)

    def _stage(
        self, name: str, within: Any, begins: int, ends: int, attributes: Mapping[str, str]
    ) -> None:
        span = self._tracer.start_span(
            name, context=within, start_time=begins, attributes=attributes
        )
        span.end(ends)

    def _fail(self, span: Any, error: RuntimeFault) -> None:
        from opentelemetry.trace import Status, StatusCode

        span.set_attribute("error.type", type(error).__name__)
        span.set_status(Status(StatusCode.ERROR, str(error)))


def _context(parent: "re.Match[bytes]") -> Any:
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
    )

    context = SpanContext(
        int(parent[1], 16), int(parent[2], 16), is_remote=True, trace_flags=TraceFlags(_SAMPLED)
    )
    return set_span_in_context(NonRecordingSpan(context))


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
