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
from livethread_server.worker.layout import choose
from livethread_server.worker.loop import Loop
from livethread_server.worker.pipes import Outbox, PipeInbox
from livethread_server.worker.tiers import Tiers

NICE = 10
"""How much the engine gives way (nice(2)): it takes all CPUs for long, the server needs them for moments."""
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
        costs = canary.prove(context)
    except llama.LoadFailed as error:
        outbox.send(Failed(str(error)))
        return 1
    with llama.loaded(model, context):
        tiers = Tiers(context, configure, inbox.wake)  # before it is ready: to look at a large cache takes its time
        outbox.send(_ready(context))
        for work in (inbox.read, outbox.write):
            threading.Thread(target=work, daemon=True).start()
        Loop(context, costs, inbox, outbox.put, tiers, step_ms=configure.step_ms).run()
        tiers.close()
    return 0


def _context(model: llama.Model, configure: Configure) -> llama.Context:
    length = min(configure.context, model.trained_context)
    layout = choose(configure, gpu=llama.offloads(configure.gpu_layers))
    return llama.Context(
        model,
        length=length,
        sequences=_sequences(configure, length, split=layout.split),
        split=layout.split,
        flash_attention=layout.flash_attention,
        threads=configure.threads or _threads(),
        cells=configure.cells,
    )


def _sequences(configure: Configure, length: int, *, split: bool) -> int:
    """In the split layout each sequence has its own cells, so that their number decides; 256 is llama.cpp's most."""
    if not split or not configure.cells:
        return configure.sequences
    return min(max(1, configure.cells // length), 256)


def _ready(context: llama.Context) -> Ready:
    return Ready(
        context=context.length,
        trained_context=context.model.trained_context,
        sequences=context.sequences,
        cells=context.cells,
        vocabulary=context.model.vocabulary,
        description=context.model.description,
        cuttable=context.model.cuttable,
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
