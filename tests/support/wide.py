"""A pair of int32 tokens, written from the format's description."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np


def write_wide(prefix: Path, tokens: np.ndarray) -> None:
    """One document of int32 tokens."""
    prefix.with_name(prefix.name + ".bin").write_bytes(tokens.astype("<i4").tobytes())
    header = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 4, 1, 2)
    body = struct.pack("<i", len(tokens)) + struct.pack("<q", 0) + struct.pack("<qq", 0, 1)
    prefix.with_name(prefix.name + ".idx").write_bytes(header + body)
