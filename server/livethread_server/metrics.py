"""The figures of ``/metrics``: what has happened is counted here, what is now is asked for at each scrape.

Names follow Prometheus' conventions: base units, ``_total`` for counters. This module must never know sockets,
texts or who anybody is: no figure is about one thread or one person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from livethread.messages import Event, RunFinished, RunStarted
from livethread.tasks import Task

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format."""
FIRST_TOKEN_SECONDS = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6)
"""Bounds of the histogram of times from acceptance to the first sample."""


class Gauges(Protocol):
    """What can be asked at any moment, without waiting."""

    @property
    def sessions(self) -> int:
        """Open sessions."""

    @property
    def subscribers(self) -> int:
        """Pairs of a session and a thread that it listens to."""

    @property
    def outbox_bytes(self) -> int:
        """Bytes that wait to be written to sockets."""

    @property
    def runs(self) -> Mapping[str, int]:
        """Unfinished runs by state."""

    @property
    def unfinished_tasks(self) -> Mapping[tuple[str, str], int]:
        """Stateless tasks that are not over, by kind and state."""

    @property
    def tasks(self) -> int:
        """Tasks of the event loop."""

    @property
    def restarts(self) -> int:
        """How often the engine was started again."""

    @property
    def ready(self) -> bool:
        """Whether a generation would work."""


class Metrics:
    """One server's figures. `saw` counts what is told; `page` is what a scrape gets."""

    def __init__(self, gauges: Gauges, *, version: str, instance: str) -> None:
        self._registry = CollectorRegistry()
        self._now = _Now(gauges, version, instance)
        self._registry.register(self._now)
        self._finished = Counter(
            "livethread_runs_finished", "Runs that ended, by reason.", ["reason"], registry=self._registry
        )
        self._tasks = Counter(
            "livethread_tasks_finished",
            "Stateless tasks that ended, by kind and state.",
            ["kind", "state"],
            registry=self._registry,
        )
        self._generated = Counter(
            "livethread_generated_tokens",
            "Tokens that were drawn, ends of generation included.",
            registry=self._registry,
        )
        self._prompts = Counter("livethread_prompt_tokens", "Tokens of all prompts.", registry=self._registry)
        self._reused = Counter(
            "livethread_reused_tokens",
            "Those of them whose KV was there, by where it came from.",
            ["source"],
            registry=self._registry,
        )
        self._first = Histogram(
            "livethread_first_token_seconds",
            "From a run's acceptance to its first sample.",
            buckets=FIRST_TOKEN_SECONDS,
            registry=self._registry,
        )

    def saw(self, event: Event) -> None:
        """Count an event that was told."""
        if isinstance(event, RunStarted):
            self._prompts.inc(event.prompt_tokens)
            for source in event.sources.__struct_fields__:
                self._reused.labels(source).inc(getattr(event.sources, source))
        elif isinstance(event, RunFinished):
            self._finished.labels(event.reason).inc()
            self._generated.inc(event.usage.completion_tokens)
            if event.usage.completion_tokens:
                self._first.observe(event.timings.first_token_ms / 1000)

    def saw_task(self, task: Task) -> None:
        """Count a stateless task that is over."""
        self._tasks.labels(task.kind, task.state).inc()
        if task.usage is not None:
            self._prompts.inc(task.usage.prompt_tokens)
            self._generated.inc(task.usage.completion_tokens)

    def page(self, engine: Mapping[str, Any] | None) -> bytes:
        """The figures in Prometheus' text format. ``engine`` is what the engine told of itself, None where it cannot
        be asked: then its figures are left out.
        """
        self._now.engine = engine
        return generate_latest(self._registry)


class _Now(Collector):
    """What is now."""

    def __init__(self, gauges: Gauges, version: str, instance: str) -> None:
        self._gauges = gauges
        self._identity = (version, instance)
        self.engine: Mapping[str, Any] | None = None

    def collect(self) -> Iterable[Metric]:
        gauges = self._gauges
        info = GaugeMetricFamily("livethread_info", "Always 1.", labels=["version", "instance"])
        info.add_metric(self._identity, 1)
        yield info
        yield GaugeMetricFamily("livethread_sessions", "Open sessions.", gauges.sessions)
        yield GaugeMetricFamily("livethread_subscribers", "Subscriptions of all sessions.", gauges.subscribers)
        yield GaugeMetricFamily("livethread_outbox_bytes", "Bytes that wait for sockets.", gauges.outbox_bytes)
        yield GaugeMetricFamily("livethread_tasks", "Tasks of the event loop.", gauges.tasks)
        yield _by("livethread_runs", "Unfinished runs, by state.", "state", gauges.runs)
        unfinished = GaugeMetricFamily(
            "livethread_unfinished_tasks",
            "Stateless tasks that are not over, by kind and state.",
            labels=["kind", "state"],
        )
        for labels, count in gauges.unfinished_tasks.items():
            unfinished.add_metric(labels, count)
        yield unfinished
        yield GaugeMetricFamily("livethread_engine_ready", "1 where a generation would work.", int(gauges.ready))
        yield CounterMetricFamily("livethread_engine_restarts", "Starts of the engine after it died.", gauges.restarts)
        if self.engine is not None:
            yield from _of_engine(self.engine)


def _of_engine(told: Mapping[str, Any]) -> Iterable[Metric]:
    yield _by("livethread_threads", "Threads that have KV, by residency.", "residency", told.get("threads", {}))
    live = told.get("live", {})
    yield GaugeMetricFamily("livethread_live_tokens", "Tokens in KV cells.", live.get("tokens", 0))
    yield GaugeMetricFamily("livethread_running_sequences", "Sequences of runs.", live.get("running", 0))
    tasks = told.get("tasks", {})
    yield GaugeMetricFamily("livethread_task_sequences", "Sequences of tasks' runs.", tasks.get("running", 0))
    tiers = told.get("tiers", {})
    for figure, text in (("bytes", "Bytes of chunks."), ("budget", "Bytes that they may have."), ("chunks", "Chunks.")):
        unit = "budget_bytes" if figure == "budget" else figure
        yield _by(f"livethread_cache_{unit}", text, "tier", {name: tier[figure] for name, tier in tiers.items()})
    evictions = CounterMetricFamily("livethread_evictions", "Sequences that were given up.")
    evictions.add_metric((), told.get("evictions", 0))
    yield evictions
    steps = told.get("steps")
    if steps:
        histogram = HistogramMetricFamily("livethread_step_seconds", "Time of the engine's steps that had work.")
        histogram.add_metric((), [(bound, count) for bound, count in steps["buckets"]], steps["seconds"])
        yield histogram


def _by(name: str, text: str, label: str, figures: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, figure in figures.items():
        family.add_metric((value,), figure)
    return family
