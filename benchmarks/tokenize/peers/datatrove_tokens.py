"""datatrove's own tokenizing steps on one JSONL file, as its documentation wires them: one local task.

    python datatrove_tokens.py {megatron|ds} INPUT.jsonl OUT_FOLDER TOKENIZER_FOLDER
"""

import json
import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer, MegatronDocumentTokenizer

kind, source, out, tokenizer = sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
options = {
    "output_folder": out,
    "tokenizer_name_or_path": str(tokenizer / "tokenizer.json"),
    "eos_token": json.loads((tokenizer / "tokenizer_config.json").read_text())["eos_token"],
}
if kind == "megatron":
    step = MegatronDocumentTokenizer(**options)
else:  # shuffling is a second pass over the output, which the others do not make
    step = DocumentTokenizer(**options, shuffle_documents=False)
LocalPipelineExecutor(
    pipeline=[JsonlReader(str(source.parent), glob_pattern=source.name), step],
    tasks=1,
    logging_dir=f"{out}/logs",
).run()
