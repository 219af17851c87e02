"""numpy's arrays as C sees them."""

from __future__ import annotations

import ctypes
from typing import Any

from numpy.typing import NDArray


def pointer_to(array: NDArray[Any], kind: Any) -> Any:
    """A C pointer to an array's first item, valid as long as the array is."""
    return array.ctypes.data_as(ctypes.POINTER(kind))
