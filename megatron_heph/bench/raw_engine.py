"""The rate of a bare engine: all texts in memory, one thread, one call; run as a program, in a process of its own.

    python -m megatron_heph.bench.raw_engine {native|gigatoken} TOKENIZER CORPUS.jsonl

Prints a line of JSON: CPU seconds of encoding alone, bytes of text, tokens.  The texts are there before
the clock starts, as the engine likes them: columns for ours, a list of strings for gigatoken.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path


def measure(engine: str, tokenizer: Path, corpus: Path) -> dict[str, float]:
    """CPU seconds of encoding the texts of a JSONL file once, with their bytes and tokens."""
    with corpus.open("rb") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    size = sum(len(text.encode()) for text in texts)
    encode = _native(tokenizer, texts) if engine == "native" else _gigatoken(tokenizer, texts)
    texts.clear()  # ours has them in columns
    began = time.process_time()
    tokens = encode()
    return {"cpu": time.process_time() - began, "text_bytes": size, "tokens": tokens}


def _native(tokenizer: Path, texts: list[str]) -> Callable[[], int]:
    from data_tools.tokenize.columns import Texts
    from data_tools.tokenize.engines.load import load_engine

    engine, columns = load_engine(tokenizer, engine="native").engine, Texts.of(texts)
    return lambda: len(engine.encode(columns).ids)


def _gigatoken(tokenizer: Path, texts: list[str]) -> Callable[[], int]:
    import gigatoken

    path = tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer
    engine, batch = gigatoken.Tokenizer(str(path)), list(texts)
    # ids come as an awkward array; its flat content is the ids, without a copy
    return lambda: int(engine.encode_batch(batch, parallel=False).layout.content.length)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))) + "\n")
