"""llama-server in a process of its own, from the wheel of ``xllamacpp``, set up as it is fastest on CPUs (FACTS B7).

python -m tests.bench.peer_server MODEL PORT SEQUENCES CONTEXT THREADS {repack,no-repack} [embed]
"""

from __future__ import annotations

import sys
import threading


def main() -> None:
    """Serve until the process is ended."""
    import xllamacpp

    model, port, sequences, context, threads, repack, *embed = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.port = int(port)
    params.n_parallel = int(sequences)
    params.n_ctx = int(sequences) * int(context)
    params.kv_unified = False
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
    params.no_extra_bufts = repack == "no-repack"
    if embed:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = xllamacpp.Server(params)
    assert server is not None  # it serves as long as it is held
    threading.Event().wait()


if __name__ == "__main__":
    main()
