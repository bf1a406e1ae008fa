"""What a training step keeps between its forward and its backward pass, in bytes on one process.

Korthikanti et al. (arXiv 2205.05198, section 4) count what the backward pass of each operation reads again, for
a GPT with LayerNorm, GELU, dropout and stored attention scores.  The same count is made here for the layers that
are trained: RMSNorm, rotary positions, grouped queries, SwiGLU, no dropout, no recomputation, and an attention
that stores its row sums in place of the scores.

Letters: T tokens of a micro-batch on this process (micro_batch x sequence / context parallel size), S the whole
sequence, b samples of a micro-batch, c context parallel size, e bytes of an element, t tensor parallel size; the
others as in `layout.py`.

Where a source keeps documents apart, a micro-batch may hold several segments a sample, and attention goes from one to
the next (`engine/attention.py`).  That keeps its output twice, and rotary tables for every sample.  Under context
parallelism the keys of a rank are gathered once more and masked piece by piece; how many that are hangs on where
documents end, and the most is counted: samples of one document each.  Micro-batches of whole windows come in such runs
too; the larger of both is planned for.
"""

from __future__ import annotations

from dataclasses import dataclass

from megatron_heph.planning.layout import Chunk
from megatron_heph.recipe.resolved import Resolved
from megatron_heph.recipe.tree import Stage

ELEMENT = {"fp32": 4, "bf16": 2}        # bytes of an element of weights and activations, by precision.format
_FP32 = 4


@dataclass(frozen=True, slots=True)
class Activations:
    """The activations of one micro-batch of a stage."""

    resolved: Resolved
    stage: Stage

    @property
    def _element(self) -> int:
        return ELEMENT[self.resolved.recipe.precision.format]

    @property
    def _tokens(self) -> int:
        return self.stage.micro_batch * self.stage.sequence // self.resolved.grid.context

    @property
    def _sequence_parts(self) -> int:
        """How many tensor ranks share what sequence parallelism shares (Korthikanti et al., section 4.2.2)."""
        return self.resolved.grid.tensor if self.resolved.recipe.parallel.sequence else 1

    @property
    def _documents(self) -> bool:
        """Whether a micro-batch may hold several segments a sample."""
        return any(source.apart for source in self.resolved.recipe.data.sources.values())

    def of(self, chunk: Chunk) -> int:
        """One pass through a chunk; the loss apart."""
        ids = 8 * self._tokens if chunk.embeds else 0
        layer = 2 * self.norm() + self.attention() + self.mlp()
        return chunk.layers * layer + chunk.predicts * self.norm() + ids + self._key_index()

    def norm(self) -> int:
        """An RMSNorm, and its output, which the next matrix product reads again.

        CUDA (one kernel): input e h, output e h, and one fp32 number a token.  The CPU composes it of
        operations on fp32: input 4 h and normalised input 4 h, besides output and number.
        """
        h, e = self.resolved.shape.hidden, self._element
        inside = e * h if self.resolved.device == "cuda" else 2 * _FP32 * h
        return self._tokens * (inside + e * h + _FP32) // self._sequence_parts

    def attention(self) -> int:
        """Q, K, V, the output (e a d / t each), the scores' row sums (4 a / t), and the rotary tables.

        K and V stand repeated for every query head; without groups V is still the slice of QKV that it
        was made as, and all of QKV stays (documents of several samples are laid end to end, which copies it).
        Context parallelism keeps K and V of the whole sequence, and a mask of S / c x S elements in every layer.
        """
        return max(self._attention(apart) for apart in {False, self._documents})

    def _attention(self, apart: bool) -> int:
        shape, grid, samples = self.resolved.shape, self.resolved.grid, self.stage.micro_batch
        heads = shape.heads // grid.tensor
        row = self._element * heads * shape.head_dim
        copied = grid.context > 1 or (apart and samples > 1)
        keys = row * self._keys(apart)
        values = 3 * row * self._tokens if shape.heads == shape.kv_heads and not copied else keys
        outputs = 2 if apart else 1
        rows = samples if apart else 1
        tables = 4 * self._element * rows * self.stage.sequence // grid.context * shape.head_dim  # cosine, sine; Q, K
        return self._tokens * ((1 + outputs) * row + _FP32 * heads) + keys + values + tables + self._masks(apart)

    def _keys(self, apart: bool) -> int:
        """Keys of a micro-batch that a rank reads: S a sample, S / 2c more where documents are apart.

        Of the 2c chunks of a sequence a rank then takes, for each of its two, the keys up to that one.
        """
        c, whole = self.resolved.grid.context, self.stage.micro_batch * self.stage.sequence
        return whole + whole // (2 * c) if apart and c > 1 else whole

    def _key_index(self) -> int:
        """Where the keys of documents lie among those gathered, int32: once for all layers."""
        return 4 * self._keys(True) if self._documents and self.resolved.grid.context > 1 else 0

    def _masks(self, apart: bool) -> int:
        """One for all samples; or for every sample its rank's two chunks of queries by the keys up to them."""
        c, length = self.resolved.grid.context, self.stage.sequence
        if c == 1:
            return 0
        if apart:
            return self._element * self.stage.micro_batch * (length // (2 * c)) ** 2 * (2 * c + 1)
        return self._element * (length // c) * length

    def mlp(self) -> int:
        """SwiGLU of single operations, 5 e f / t: gate and up, silu(gate), a copy of up, and their product."""
        return self._tokens * 5 * self._element * self.resolved.shape.ffn // self.resolved.grid.tensor

    def loss(self) -> int:
        """The softmax in fp32, 4 V / t, the targets (13 bytes a token), and in bf16 the logits it was made from."""
        e = self._element
        row = _FP32 + (e if e != _FP32 else 0)
        return self._tokens * (row * self.resolved.shape.vocab // self.resolved.grid.tensor + 13)


def passes_in_flight(resolved: Resolved, stage: Stage, pipeline_rank: int) -> int:
    """How many passes through a chunk wait for their backward pass at once on a pipeline rank.

    Without interleaving p - r of them (1F1B; Narayanan et al., arXiv 2104.04473, section 2.2), with it
    2 (p - r - 1) + (v - 1) p + 1 (the same, and megatron-core's warm-up); never more than a step has.
    """
    p, v = resolved.grid.pipeline, resolved.recipe.parallel.virtual
    behind = p - pipeline_rank - 1
    wanted = behind + 1 if v == 1 else 2 * behind + (v - 1) * p + 1
    return min(wanted, resolved.micro_batches(stage) * v)
