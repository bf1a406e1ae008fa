"""The proof of a conversion: our engine and `transformers` give the same logits for the same weights.

Both compute in float32 on one pinned batch: a row of ids drawn from a fixed seed, which reaches rare
tokens, and a row of real text, where the model is sure of itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from megatron_heph.checkpoint.convert.files import require, versions, write_json
from megatron_heph.engine import weights
from megatron_heph.errors import InputError, RefusedError
from megatron_heph.recipe.shape import ModelShape

FILE = "certificate.json"
SEED = 20260101
LENGTH = 64
SENTENCE = (
    "In 2026 the request `GET /v1/buckets?limit=50` returned 17 buckets; the client read the next page with "
    "the token it was given, and stopped when the list was empty. A good tool call names every required "
    "argument, and leaves out the optional ones that the user never asked for."
)
MAX_ABS = 1e-3  # limit of the difference of two logits


@dataclass(frozen=True, slots=True, kw_only=True)
class LogitComparison:
    """How far two models are apart on the same tokens; [B, L, vocab] logits in float32."""

    max_abs: float  # the largest difference of two logits
    mean_kl: float  # KL(reference || ours) in nats, mean over positions
    argmax_agreement: float  # share of positions with the same most likely token, ties apart
    text_loss: float  # ours, mean next-token cross-entropy of the batch's last row (text), in nats
    reference_text_loss: float

    @property
    def passed(self) -> bool:
        """Whether the two are the same model up to float32 rounding; False where a number is not finite."""
        return self.max_abs <= MAX_ABS and self.argmax_agreement == 1.0 and math.isfinite(self.mean_kl)

    def sentence(self) -> str:
        """The numbers in plain words."""
        agreement = 100 * self.argmax_agreement
        return f"max |Δlogit| {self.max_abs:.1e}, KL {self.mean_kl:.0e}, argmax {agreement:.1f} %"


def pinned_batch(vocab: int, tokenizer_file: Path, length: int = LENGTH) -> Tensor:
    """Two rows of token ids, int64 [2, length]: random ids, and a sentence filled up with random ids.

    Raises InputError if the tokenizer gives ids that the model does not have.
    """
    from tokenizers import Tokenizer

    generator = torch.Generator().manual_seed(SEED)
    tokens_BL = torch.randint(0, vocab, (2, length), generator=generator)
    try:
        ids = Tokenizer.from_file(str(tokenizer_file)).encode(SENTENCE).ids[:length]
    except Exception as error:  # the package raises bare Exception
        raise InputError(f"{tokenizer_file} is no tokenizer ({error}).") from error
    if ids and max(ids) >= vocab:
        raise InputError(
            f"{tokenizer_file} gives the token id {max(ids)}, but the model's vocabulary has {vocab} rows: "
            f"the tokenizer belongs to another model."
        )
    tokens_BL[1, : len(ids)] = torch.tensor(ids, dtype=torch.int64)
    return tokens_BL


def compare_logits(ours_BLV: Tensor, reference_BLV: Tensor, tokens_BL: Tensor) -> LogitComparison:
    """Compares two [B, L, V] float32 logits of the same tokens."""
    ours, reference = ours_BLV.float(), reference_BLV.float()
    log_p, log_q = F.log_softmax(reference.double(), -1), F.log_softmax(ours.double(), -1)
    top2 = reference.topk(2, dim=-1).values
    tie = top2[..., 0] - top2[..., 1] < MAX_ABS  # rounding may decide such a position either way
    agree = (ours.argmax(-1) == reference.argmax(-1)) | tie
    targets = tokens_BL[-1, 1:]
    return LogitComparison(
        max_abs=(ours - reference).abs().max().item(),
        mean_kl=(log_p.exp() * (log_p - log_q)).sum(-1).mean().item(),
        argmax_agreement=agree.double().mean().item(),
        text_loss=F.nll_loss(log_q[-1, :-1], targets).item(),
        reference_text_loss=F.nll_loss(log_p[-1, :-1], targets).item(),
    )


def reference_logits(folder: Path, tokens_BL: Tensor) -> Tensor:
    """Float32 [B, L, vocab] logits of the Hugging Face folder, by `transformers` with plain attention.

    Raises RefusedError if transformers would fill in or leave out a tensor.
    """
    transformers = require("transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32,
        attn_implementation="eager",
        local_files_only=True,
        output_loading_info=True,
    )
    wrong = {kind: sorted(map(str, names)) for kind, names in report.items() if names}
    if wrong:
        raise RefusedError(f"transformers does not load {folder} as it is: {wrong}.")
    with torch.no_grad():
        logits: Tensor = model.eval()(tokens_BL).logits
    return logits.float()


def certify(
    folder: Path, shape: ModelShape, tensors: Mapping[str, Tensor], extra: dict[str, Any] | None = None
) -> LogitComparison:
    """Compares our engine on `tensors` (megatron names) with `transformers` on `folder`.

    Writes certificate.json, with `extra` in it.  Raises RefusedError if the two are not the same model.
    """
    tokens_BL = pinned_batch(shape.vocab, folder / "tokenizer.json", min(LENGTH, shape.max_positions))
    reference = reference_logits(folder, tokens_BL)
    comparison = compare_logits(weights.logits(shape, tensors, tokens_BL), reference, tokens_BL)
    record = {
        "passed": comparison.passed,
        **asdict(comparison),
        "limits": {"max_abs": MAX_ABS, "argmax_agreement": 1.0},
        "batch": {"seed": SEED, "shape": list(tokens_BL.shape), "sentence": SENTENCE},
        "compute_dtype": "float32",
        "reference": "transformers, eager attention",
        "versions": versions(),
        **(extra or {}),
    }
    write_json(folder / FILE, record)
    if not comparison.passed:
        raise RefusedError(
            f"The converted model is not the same model: {comparison.sentence()} against transformers, and "
            f"the limits are max |Δlogit| {MAX_ABS:.0e} and argmax 100 %. The numbers and files are left in "
            f"{folder}."
        )
    return comparison
