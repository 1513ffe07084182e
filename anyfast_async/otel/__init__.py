"""OpenTelemetry (extra ``otel``): ``AnyFast(observers=[OpenTelemetry()])`` makes spans and metrics of every call."""

from anyfast_async.otel._observer import OpenTelemetry

__all__ = ["OpenTelemetry"]
