from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from livethread.messages import Event, RunFinished, RunStarted
from livethread.model import Message, Principal, Sampling, Sources, Timings, Usage
from livethread_server.metrics import Metrics
from livethread_server.worker.step_times import StepTimes
from tests.fakes import a_task

ANN = Principal("ann", "Ann")


class Now:
    sessions = 3
    subscribers = 5
    outbox_bytes = 70
    runs: Mapping[str, int] = MappingProxyType({"queued": 1, "running": 2})
    tasks = 8
    unfinished_tasks: Mapping[tuple[str, str], int] = MappingProxyType({("tokenize", "queued"): 6})
    restarts = 4
    ready = True


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Now(), version="1.2.3", instance="i_1")


def started(**sources: int) -> Event:
    return RunStarted(
        thread="t",
        seq=1,
        version=1,
        run="r",
        message="m",
        model="smol",
        instance="i",
        prompt_tokens=100,
        reused_tokens=sum(sources.values()),
        sources=Sources(**sources),
        sampling=Sampling(),
        by=ANN,
    )


def finished(reason: Any, tokens: int, first_ms: float) -> Event:
    return RunFinished(
        thread="t",
        seq=2,
        version=1,
        run="r",
        reason=reason,
        message=Message(id="m", role="assistant", content="a secret", created_at=""),
        usage=Usage(100, tokens, 0),
        timings=Timings(0, 0, first_ms, 0),
    )


def samples(metrics: Metrics, engine: Mapping[str, Any] | None = None) -> dict[str, float]:
    page = metrics.page(engine).decode()
    return {
        sample.name + "".join(f"{{{name}={value}}}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_what_is_now_is_asked_for_at_each_scrape(metrics: Metrics) -> None:
    found = samples(metrics)
    assert found["livethread_sessions"] == 3
    assert found["livethread_subscribers"] == 5
    assert found["livethread_outbox_bytes"] == 70
    assert found["livethread_tasks"] == 8
    assert found["livethread_unfinished_tasks{kind=tokenize}{state=queued}"] == 6
    assert found["livethread_runs{state=queued}"] == 1
    assert found["livethread_runs{state=running}"] == 2
    assert found["livethread_engine_restarts_total"] == 4
    assert found["livethread_engine_ready"] == 1
    assert found["livethread_info{instance=i_1}{version=1.2.3}"] == 1


def test_runs_and_their_tokens_are_counted_as_they_are_told(metrics: Metrics) -> None:
    metrics.saw(started(live=60, disk=20))
    metrics.saw(finished("stop", 7, 90))
    metrics.saw(started(ram=10))
    metrics.saw(finished("cancelled", 0, 0))
    found = samples(metrics)
    assert found["livethread_prompt_tokens_total"] == 200
    assert found["livethread_reused_tokens_total{source=live}"] == 60
    assert found["livethread_reused_tokens_total{source=ram}"] == 10
    assert found["livethread_reused_tokens_total{source=disk}"] == 20
    assert found["livethread_generated_tokens_total"] == 7
    assert found["livethread_runs_finished_total{reason=stop}"] == 1
    assert found["livethread_runs_finished_total{reason=cancelled}"] == 1
    assert found["livethread_first_token_seconds_count"] == 1, "a run that drew nothing has no first token"
    assert found["livethread_first_token_seconds_bucket{le=0.1}"] == 1
    assert found["livethread_first_token_seconds_bucket{le=0.05}"] == 0


def test_tasks_are_counted_when_they_are_over(metrics: Metrics) -> None:
    metrics.saw_task(a_task(state="done", usage=Usage(100, 7, 60)))
    metrics.saw_task(a_task(state="cancelled", reason="timeout"))
    found = samples(metrics)
    assert found["livethread_tasks_finished_total{kind=chat-completion}{state=done}"] == 1
    assert found["livethread_tasks_finished_total{kind=chat-completion}{state=cancelled}"] == 1
    assert found["livethread_prompt_tokens_total"] == 100
    assert found["livethread_generated_tokens_total"] == 7


def test_what_the_engine_tells_of_itself_is_there_while_it_can_be_asked(metrics: Metrics) -> None:
    steps = StepTimes()
    steps.took(0.03)
    tiers = {"disk": {"chunks": 2, "bytes": 300, "budget": 1000, "bad_files": 0}}
    told = {
        "threads": {"live": 1, "disk": 2},
        "tiers": tiers,
        "evictions": 6,
        "live": {"tokens": 9, "running": 1},
        "tasks": {"running": 2},
        "steps": steps.told(),
    }
    found = samples(metrics, told)
    assert found["livethread_threads{residency=disk}"] == 2
    assert found["livethread_cache_bytes{tier=disk}"] == 300
    assert found["livethread_cache_budget_bytes{tier=disk}"] == 1000
    assert found["livethread_cache_chunks{tier=disk}"] == 2
    assert found["livethread_evictions_total"] == 6
    assert found["livethread_live_tokens"] == 9
    assert found["livethread_running_sequences"] == 1
    assert found["livethread_task_sequences"] == 2
    assert found["livethread_step_seconds_bucket{le=0.05}"] == 1
    assert found["livethread_step_seconds_count"] == 1
    assert "livethread_evictions_total" not in samples(metrics, None)


def test_no_text_of_a_message_is_on_the_page(metrics: Metrics) -> None:
    metrics.saw(finished("stop", 7, 90))
    assert b"secret" not in metrics.page(None)
