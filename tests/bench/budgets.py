"""What a step budget costs a long prompt, alone and beside a run, and what it spares the run."""

from __future__ import annotations

from statistics import median

from msgspec import Struct

from tests.bench import long_prompt
from tests.bench.bench import Bench
from tests.bench.processes import Load

BUDGETS = (25.0, 50.0, 100.0, 200.0)
USUAL = 100.0


class Budget(Struct, frozen=True, kw_only=True):
    """Seconds to a 2,000-token prompt's first token, and the gaps of the run beside it, in milliseconds."""

    ms: float
    alone: float
    beside: float
    usual_gap: float
    longest_gap: float

    def told(self) -> str:
        """In a few words."""
        return (
            f"{self.ms:g} ms: alone {self.alone:.2f} s, beside a run {self.beside:.2f} s, "
            f"its gaps {self.usual_gap:.0f} ms, longest {self.longest_gap:.0f} ms"
        )


def measure(bench: Bench, load: Load, ms: float) -> Budget:
    """On a server that has this budget."""
    turns = [long_prompt.turn(bench, load) for _ in range(1 if bench.quick else 3)]
    return Budget(
        ms=ms,
        alone=median(turn.alone for turn in turns),
        beside=median(turn.beside for turn in turns),
        usual_gap=median(gap for turn in turns for gap in turn.gaps),
        longest_gap=max(gap for turn in turns for gap in turn.gaps),
    )
