"""What the loader hands over: samples as they come from the disk, narrow, with the edges of what may attend to what.

Shapes: B samples, L positions of a sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Samples of B x L positions; a position beyond a sample's text is padding: id 0, no loss, a segment of its own.

    Positions are numbered through the batch, row by row.  A segment is a run of them that attend to each
    other and to nothing else: a document (or the part of it in this sample), or a whole sample where its source
    is read without regard to documents.
    """

    tokens_BL: npt.NDArray[np.uint16] | npt.NDArray[np.int32]
    labels_BL: npt.NDArray[np.uint16] | npt.NDArray[np.int32]   # of each position the token that follows it
    loss_BL: npt.NDArray[np.bool_]      # which labels carry loss
    sources_B: npt.NDArray[np.int64]    # index of each sample's source
    cu_seqlens: npt.NDArray[np.int32]   # [segments + 1], strictly ascending from 0 to B * L; rows' ends are among them

    @property
    def sources_BL(self) -> npt.NDArray[np.int64]:  # noqa: N802 -- a shape suffix, as in the fields
        """The source of every position; a view, no memory."""
        return np.broadcast_to(self.sources_B[:, None], self.tokens_BL.shape)
