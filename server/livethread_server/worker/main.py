"""The engine process: a pipe in, a pipe out, and one model between them.

Started by the server as its direct child; it ends when its standard input does. This module must never be
imported by the server.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading

from livethread_server.engine.packing import unpack_down
from livethread_server.engine.wire import Configure, Failed, Ready
from livethread_server.worker import canary, llama
from livethread_server.worker.embedder import Embedder
from livethread_server.worker.layout import choose
from livethread_server.worker.loop import Loop
from livethread_server.worker.pipes import Outbox, PipeInbox
from livethread_server.worker.scheduler import Costs
from livethread_server.worker.tiers import Tiers
from livethread_server.worker.vector_loop import VectorLoop

NICE = 10
"""How much the engine gives way (nice(2)): it takes all CPUs for long, the server needs them for moments."""
MOST_SEQUENCES = 256
"""llama.h: LLAMA_MAX_SEQ; beyond it llama.cpp aborts (FACTS A8)."""
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Serve until standard input ends; 1 where the model cannot be loaded."""
    _survive_signals()
    _die_with_parent()
    if hasattr(os, "nice"):
        os.nice(NICE)
    outbox = Outbox(_private_stdout())
    inbox = PipeInbox(sys.stdin.fileno(), unpack_down())
    configure = inbox.read_first()
    if configure is None:
        return 0
    llama.quiet()
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    try:
        model = llama.Model(configure.model_path, gpu_layers=configure.gpu_layers, extra_bufts=configure.extra_bufts)
        context = _context(model, configure)
        generates = context.remembers and model.causal
        costs = canary.prove(context) if generates else canary.prove_vectors(_vectors(context, configure))
    except llama.LoadFailed as error:
        outbox.send(Failed(str(error)))
        return 1
    with llama.loaded(model, context):
        embedder = Embedder(
            model,
            lambda ranks: _vectors(context, configure, ranks=ranks),
            length=context.length,
            token_ms=costs.of_token(0),
        )
        _serve(context, costs, configure, (inbox, outbox), embedder, generates=generates)
        embedder.close()
    return 0


def _serve(
    context: llama.Context,
    costs: Costs,
    configure: Configure,
    pipes: tuple[PipeInbox, Outbox],
    embedder: Embedder,
    *,
    generates: bool,
) -> None:
    inbox, outbox = pipes
    tiers = Tiers(context, configure, inbox.wake) if generates else None
    # Before it is ready: to look at a large cache takes its time.
    outbox.send(_ready(context, tasks=configure.task_sequences, generates=generates))
    for work in (inbox.read, outbox.write):
        threading.Thread(target=work, daemon=True).start()
    if tiers is None:
        VectorLoop(embedder, inbox, outbox.put, step_ms=configure.step_ms).run()
        return
    Loop(context, costs, inbox, outbox.put, tiers, embedder, step_ms=configure.step_ms).run()
    tiers.close()


def _context(model: llama.Model, configure: Configure) -> llama.Context:
    length = min(configure.context, model.trained_context)
    layout = choose(configure, gpu=llama.offloads(configure.gpu_layers))
    threads = _sequences(configure, length, split=layout.split)
    return llama.Context(
        model,
        length=length,
        sequences=threads + configure.task_sequences,
        split=layout.split,
        flash_attention=layout.flash_attention,
        threads=configure.threads or _threads(),
        cells=configure.cells and configure.cells + configure.task_sequences * length,
    )


def _vectors(context: llama.Context, configure: Configure, *, ranks: bool = False) -> llama.VectorContext:
    """A context for vectors beside the one that generates, or would: it shows whether there is KV at all."""
    return llama.VectorContext(
        context.model,
        length=context.length,
        remembers=context.remembers,
        ranks=ranks,
        flash_attention=choose(configure, gpu=llama.offloads(configure.gpu_layers)).flash_attention,
        threads=configure.threads or _threads(),
    )


def _sequences(configure: Configure, length: int, *, split: bool) -> int:
    """In the split layout each sequence has its own cells, so that their number decides."""
    if not split or not configure.cells:
        return configure.sequences
    return min(max(1, configure.cells // length), MOST_SEQUENCES - configure.task_sequences)


def _ready(context: llama.Context, *, tasks: int, generates: bool) -> Ready:
    return Ready(
        context=context.length,
        trained_context=context.model.trained_context,
        sequences=context.sequences - tasks,
        cells=context.cells - tasks * context.length,
        vocabulary=context.model.vocabulary,
        description=context.model.description,
        cuttable=context.model.cuttable,
        task_sequences=tasks,
        generates=generates,
        dimensions=context.model.dimensions,
        pooling=context.model.pooling,
        embed_tokens=context.length,
        ranks=context.model.pooling == "rank",
    )


def _threads() -> int:
    """As many OS threads as CPUs, or half of them where there are many: those are mostly two to a core."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cpus if cpus <= 4 else cpus // 2


def _private_stdout() -> int:
    """Keep standard output for messages alone: whatever else prints goes to standard error."""
    private = os.dup(1)
    os.dup2(2, 1)
    return private


def _survive_signals() -> None:
    """A signal for the whole group is the server's to handle: it drains, then it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _die_with_parent() -> None:
    """Ask the kernel for SIGKILL when the server dies (prctl(2)); elsewhere the pipe's end has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
