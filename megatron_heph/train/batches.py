"""From samples on the disk to the micro-batches of an engine."""

from __future__ import annotations

import numpy as np
import torch

from megatron_heph.data.loader import Samples
from megatron_heph.engine.step import MicroBatch


def micro_batches(samples: Samples, size: int, at_least: int = 0) -> list[MicroBatch]:
    """Cuts samples into micro-batches of `size`; missing ones are filled with samples without loss.

    `at_least` is the number of micro-batches that every rank must bring, so that all take part in
    every collective.
    """
    length = samples.tokens_BL.shape[1] - 1
    count = max(-(-len(samples.tokens_BL) // size), at_least)
    missing = count * size - len(samples.tokens_BL)
    tokens = np.concatenate([samples.tokens_BL, np.zeros((missing, length + 1), np.int64)])
    weights = np.concatenate([samples.carries_loss_BL, np.zeros((missing, length), np.bool_)])
    sources = np.concatenate([samples.sources_B, np.zeros(missing, np.int64)])
    return [
        MicroBatch(
            tokens_BL=torch.from_numpy(tokens[i : i + size, :-1].copy()),
            labels_BL=torch.from_numpy(tokens[i : i + size, 1:].copy()),
            weights_BL=torch.from_numpy(weights[i : i + size].astype(np.float32)),
            sources_B=torch.from_numpy(sources[i : i + size].copy()),
        )
        for i in range(0, count * size, size)
    ]
