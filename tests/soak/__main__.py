"""``make soak``: people talk, cut off and come back, the engine is killed and the server is killed, for as long as is
asked; and in the end nothing has grown, nothing is left over and nobody has lost a word.

    python -m tests.soak [--minutes 20] [--people 12] [--seed N]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from livethread_server.models import DEFAULT_MODEL, default_models_dir, locate
from tests.serving import ServerProcess
from tests.soak.soak import Soak

FLAGS = ("--sequences", "8", "--context", "1024", "--idle-after", "5", "--ram-cache", "64MiB", "--disk-cache", "256MiB")


def main() -> int:
    """0 where everything held; 1 with a sentence for each thing that did not."""
    options = _options()
    say = Console(stderr=True, highlight=False).print
    say(f"soak: {options.minutes:g} minutes, {options.people} people, seed {options.seed}")
    model = locate(options.model, default_models_dir()).path
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder), model, *FLAGS)
        server.start()
        try:
            soak = Soak(server, random.Random(options.seed), options.people, say)
            found = asyncio.run(soak.run(options.minutes * 60))
            if found:
                say(f"soak: the end of the server's log:\n{server.log.read_text()[-4000:]}")
        finally:
            server.stop()
    for sentence in found:
        say(f"soak: {sentence}")
    say("soak: failed" if found else "soak: all held")
    return 1 if found else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="See that the server stays up.")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a name of the catalogue, or a GGUF file's path")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
