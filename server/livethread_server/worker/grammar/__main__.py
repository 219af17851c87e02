"""`python -m livethread_server.worker.grammar MODEL`: the grammar process.

Questions come on standard input, verdicts go to standard output (`engine.wire`). It ends when its input does.
"""

from __future__ import annotations

import gc
import signal
import sys

from livethread_server.worker.grammar.process import GrammarProcess
from livethread_server.worker.grammar.trial import Laboratory


def main() -> None:
    """Answer until standard input ends, with the vocabulary of the model that the first argument names."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's; this process ends with its pipe
    try:
        laboratory = Laboratory(sys.argv[1])
    except ValueError as error:
        sys.exit(str(error))
    gc.freeze()  # children share these pages as long as nobody counts references in them
    GrammarProcess(laboratory).serve()


if __name__ == "__main__":
    main()
