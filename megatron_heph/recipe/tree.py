"""The recipe: one typed, frozen tree.  The unit of every length and interval is the token.

Each node is a table of the TOML file; `docs/recipes.md` lists the keys.  A node knows its types and
defaults; what must hold between nodes is in `checks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from megatron_heph.formats.toml_tree import Tokens

Auto = Literal["auto"]
Window = Literal["stream", "pack"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """`[model]`: a base to continue from, or the sizes of a fresh model."""

    family: Literal["llama"] = "llama"
    base: str | None = None             # a folder made by `heph convert import`
    layers: int | None = None
    hidden: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    ffn: int | None = None
    vocab: int | None = None
    tied: bool | None = None            # None: false
    rope_theta: float | None = None     # None: 10,000
    norm_eps: float | None = None       # None: 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A member of a mixture: one tokenized dataset, the domain it belongs to, and how it is read."""

    path: str
    domain: str
    weight: float | None = None         # within its domain; None: by tokens
    window: Window = "stream"
    attention: Literal["auto", "window", "document"] = "auto"  # auto: document where packed
    max_epochs: float | None = None     # the cap; None: no end
    at_cap: Literal["drop", "stop", "refuse"] = "drop"

    @property
    def apart(self) -> bool:
        """Whether its documents do not see each other."""
        return self.attention == "document" or (self.attention == "auto" and self.window == "pack")


@dataclass(frozen=True, slots=True, kw_only=True)
class Megatron:
    """`[data.megatron]`: the order of a Megatron-LM run that moves over, instead of ours."""

    sources: tuple[str, ...]            # in the order of its --data-path; weights are those of [data.sources]
    samples: int                        # its --train-samples, or iterations x global batch
    consumed: int = 0                   # samples that it has read already
    seed: int = 1234
    split: str = "969, 30, 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """`[data]`: what is trained on, and what is held out (`heldout.<domain> = prefix`)."""

    sources: dict[str, Source]
    heldout: dict[str, str] = field(default_factory=dict)
    block: Tokens | None = None         # unit of the permutation; None: the least multiple of all sequences
    prefetch: int = 2                   # steps that are read ahead of their use
    megatron: Megatron | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """`[parallel]`: the grid of processes.  `data = "auto"` takes the cores or GPUs that are left."""

    tensor: int = 1
    pipeline: int = 1
    virtual: int = 1                    # model chunks per pipeline rank (interleaved schedule)
    context: int = 1
    sequence: bool = False              # sequence parallelism inside the tensor group
    data: int | Auto = "auto"
    distributed_optimizer: bool = True  # Adam's state sharded over data parallel ranks
    p2p: Literal["auto", "batched", "overlap"] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """`[precision]`: number format of the layers, the code behind them, and how FP8 is scaled."""

    format: Literal["fp32", "bf16", "fp8"] = "bf16"
    backend: Literal["torch", "heph", "te"] = "torch"
    scaling: Literal["tensor-current", "tensor-delayed", "row", "block"] = "tensor-current"


@dataclass(frozen=True, slots=True, kw_only=True)
class Optim:
    """`[optim]`: AdamW (Loshchilov & Hutter, arXiv 1711.05101); `clip` is the global gradient norm."""

    lr: float
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A learning-rate schedule over a stage's tokens; `floor` is a fraction of the stage's peak."""

    kind: Literal["constant", "linear", "cosine", "wsd"] = "wsd"
    warmup: Tokens = Tokens(0)
    decay: Tokens = Tokens(0)           # wsd: the length of the final linear decay
    floor: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """`[[stage]]`: one part of a run with its mixture, length, batch and schedule."""

    name: str
    tokens: Tokens
    sequence: int                       # tokens per sample
    batch: Tokens                       # tokens per optimizer step
    mixture: dict[str, float]           # domain -> weight
    schedule: Schedule = field(default_factory=Schedule)
    micro_batch: int = 1                # samples per forward pass
    lr: float | None = None             # the peak; None: optim.lr


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """`[checkpoint]`: how often to save, and how many to keep (the last one is always kept)."""

    every: Tokens | None = None
    keep: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Observe:
    """`[observe]`: sinks beside metrics.jsonl, and the held-out measurements."""

    tensorboard: bool = True
    wandb: Literal["disabled", "offline", "online"] = "disabled"
    heldout_every: Tokens | None = None   # None: before the first step and after the last
    heldout_tokens: Tokens = Tokens(65536)  # per domain and measurement, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole run."""

    name: str
    model: Model
    data: Data
    optim: Optim
    stage: tuple[Stage, ...]
    run: str = ""                       # the run folder; "": runs/<name>
    seed: int = 1234
    parallel: Parallel = field(default_factory=Parallel)
    precision: Precision = field(default_factory=Precision)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    observe: Observe = field(default_factory=Observe)
