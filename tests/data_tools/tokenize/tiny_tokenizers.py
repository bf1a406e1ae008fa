"""Small real tokenizers, trained on the spot."""

from __future__ import annotations

import io
import json
from pathlib import Path

WORDS = [
    f'def call_{i}(name: str) -> dict:  # quick fox {i * 7}\n    return {{"id": {i}, "city": "Zürich"}}'
    for i in range(200)
]


def byte_level_bpe(folder: Path, vocab_size: int = 600) -> Path:
    """A model folder with a byte-level BPE: special <|endoftext|>, <|im_start|>, <|im_end|> (its eos)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.train_from_iterator(
        WORDS,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    return folder


def sentencepiece_bpe(folder: Path) -> Path:
    """A model folder with a sentencepiece BPE with byte fallback that keeps spaces as they are."""
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS),
        model_writer=model,
        vocab_size=400,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    return folder


def write_lines(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def document(index: int, **more: object) -> dict[str, object]:
    row = {
        "id": f"d{index}",
        "text": WORDS[index % len(WORDS)] + f" {index}",
        "domain": "code",
        "source": "made",
        "license": "MIT" if index % 2 else "Apache-2.0",
        "provenance": {},
    }
    return row | more
