import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tiny_tokenizers import WORDS, document, write_lines

from data_tools.tokenize.engines.load import load_engine
from data_tools.tokenize.pipeline import Options, tokenize
from megatron_heph.errors import HephError, InputError
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.manifest import manifest_path

ROOT = Path(__file__).resolve().parents[3]


def _corpus(folder, files=3, documents=20):
    folder.mkdir(exist_ok=True)
    for f in range(files):
        write_lines(folder / f"part-{f}.jsonl", [document(f * documents + d) for d in range(documents)])
    return folder


def _bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _run(bpe, inputs, prefix, **more):
    files = [file for path in inputs for file in (path.iterdir() if path.is_dir() else [path])]
    more = {"shard_bytes": min(file.stat().st_size for file in files)} | more  # a shard per file
    return tokenize([str(path) for path in inputs], prefix, Options(tokenizer=bpe, **more))


def test_documents_come_back_letter_by_letter(bpe, tmp_path):
    manifest = _run(bpe, [_corpus(tmp_path / "in")], tmp_path / "s", shard_bytes=10**9, block_bytes=500)
    source = TokenizedSource.open(tmp_path / "s")
    engine = load_engine(bpe)
    starts = [*source.documents()[:, 0].tolist(), source.total_tokens]
    for index in (0, 1, 37, 59):
        ids = source.read(starts[index], starts[index + 1] - starts[index])
        assert ids[-1] == engine.eod_id and engine.reference.decode(ids[:-1]) == document(index)["text"]
    texts = [document(i)["text"] for i in range(60)]
    assert (manifest.documents, manifest.tokens, len(starts)) == (60, source.total_tokens, 61)
    assert manifest.utf8_bytes == sum(len(t.encode()) for t in texts)
    assert manifest.characters == sum(map(len, texts))
    assert manifest.licenses == {"Apache-2.0": 30, "MIT": 30}
    assert (manifest.domain, manifest.source) == ("code", "made")
    assert [file.path for file in manifest.inputs] == [f"in/part-{i}.jsonl" for i in range(3)]


def test_equal_to_what_megatrons_preprocessing_writes(bpe, tmp_path):
    """Per document: encode, append eod, add_document; as tools/preprocess_data.py does."""
    torch = pytest.importorskip("torch")
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder
    from tokenizers import Tokenizer

    _run(bpe, [_corpus(tmp_path / "in", files=1)], tmp_path / "s")
    tokenizer = Tokenizer.from_file(str(bpe / "tokenizer.json"))
    builder = IndexedDatasetBuilder(str(tmp_path / "m.bin"), dtype=np.uint16)
    for line in (tmp_path / "in" / "part-0.jsonl").read_text().splitlines():
        ids = [*tokenizer.encode(json.loads(line)["text"]).ids, 0]
        builder.add_document(torch.tensor(ids), [len(ids)])
    builder.finalize(str(tmp_path / "m.idx"))
    for suffix in (".bin", ".idx"):
        assert (tmp_path / f"s-00000{suffix}").read_bytes() == (tmp_path / f"m{suffix}").read_bytes()


def test_any_number_of_workers_gives_the_same_files(bpe, tmp_path):
    corpus = _corpus(tmp_path / "in")
    for workers in (1, 2):
        (tmp_path / f"out{workers}").mkdir()
        _run(bpe, [corpus], tmp_path / f"out{workers}" / "s", workers=workers)
    assert _bytes_of(tmp_path / "out1") == _bytes_of(tmp_path / "out2")
    assert len(_bytes_of(tmp_path / "out1")) == 7  # three pairs and a manifest, nothing else


BAD_LINES = {
    "not JSON": (b"{oops", r"part-1\.jsonl:22: not JSON: expected a key .* begins with '{oops' at byte \d+\. Mend"),
    "not UTF-8": (b'{"text": "\xff"}', r"part-1\.jsonl:22: not UTF-8 at byte 11"),
    "too deep": (b"[" * 1500, r"part-1\.jsonl:22: nested too deep"),
    "not an object": (b"[1]", r":22: the line holds an array"),
    "no text": (b'{"body": "x", "txt": "y"}', r":22: no text under the key 'text' \(the keys are body, txt\)"),
    "text no string": (b'{"text": 5}', r":22: the key 'text' holds a number"),
    "half a surrogate": (b'{"text": "ab\\ud800"}', r":22: half of a surrogate pair at byte 13"),
    "bad segment": (b'{"segments": [{"text": "a"}]}', r":22: a segment lacks 'train'"),
    "bad train": (b'{"segments": [{"text": "a", "train": 1}]}', r":22: 'train' of a segment is a number"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_named_and_finished_shards_are_kept(bpe, tmp_path, name):
    corpus = _corpus(tmp_path / "in", files=2)
    bad, message = BAD_LINES[name]
    path = corpus / "part-1.jsonl"
    good = path.read_bytes()
    path.write_bytes(good + b"\n" + bad + b"\n")  # an empty line counts in the numbering
    with pytest.raises(InputError, match=message) as caught:
        _run(bpe, [corpus], tmp_path / "s")
    assert caught.value.exit_code == 2
    left = {path.name for path in tmp_path.iterdir()} - {"in"}
    assert left == {"s-00000.bin", "s-00000.idx", "s.partial"}
    stamp = (tmp_path / "s-00000.bin").stat().st_mtime_ns
    path.write_bytes(good)
    assert _run(bpe, [corpus], tmp_path / "s").documents == 40
    assert (tmp_path / "s-00000.bin").stat().st_mtime_ns == stamp  # kept, not made again


def test_a_bad_line_in_one_worker_leaves_what_the_others_finished(bpe, tmp_path):
    corpus = _corpus(tmp_path / "in", files=2)
    (corpus / "part-1.jsonl").write_text("{oops\n" + (corpus / "part-1.jsonl").read_text())
    with pytest.raises(InputError, match=r"part-1\.jsonl:1"):
        _run(bpe, [corpus], tmp_path / "s", workers=2)
    assert TokenizedSource.open(tmp_path / "s-00000").total_documents == 20
    assert not manifest_path(tmp_path / "s").exists()


def test_changed_and_added_inputs_are_done_and_nothing_else(bpe, tmp_path):
    corpus = _corpus(tmp_path / "in", files=3)
    _run(bpe, [corpus], tmp_path / "s")
    (tmp_path / "s-00002.bin").write_bytes(b"")  # damaged behind our back
    write_lines(corpus / "part-1.jsonl", [document(i) for i in range(15)])
    write_lines(corpus / "part-3.jsonl", [document(i) for i in range(12)])
    stamp = (tmp_path / "s-00000.bin").stat().st_mtime_ns
    manifest = _run(bpe, [corpus], tmp_path / "s")
    assert [shard.documents for shard in manifest.shards] == [20, 15, 20, 12]
    assert (tmp_path / "s-00000.bin").stat().st_mtime_ns == stamp
    TokenizedSource.open(tmp_path / "s")
    (tmp_path / "fresh").mkdir()
    _run(bpe, [corpus], tmp_path / "fresh" / "s")
    assert _bytes_of(tmp_path / "fresh") == {
        path.name: path.read_bytes() for path in sorted(tmp_path.glob("s*")) if path.is_file()
    }


def test_nothing_complete_is_overwritten_by_other_settings_or_inputs(bpe, tmp_path):
    corpus = _corpus(tmp_path / "in", files=1)
    _run(bpe, [corpus], tmp_path / "s")
    before = _bytes_of(tmp_path / "in") | {p.name: p.read_bytes() for p in tmp_path.glob("s*")}
    other = write_lines(tmp_path / "other.jsonl", [document(1)])
    with pytest.raises(InputError, match=r"holds part-0\.jsonl as input 1, and now that would be other\.jsonl"):
        _run(bpe, [other], tmp_path / "s")
    with pytest.raises(
        InputError, match=r"another end-of-document token: '<\|endoftext\|>', and now it is '<\|im_end\|>'"
    ):
        _run(bpe, [corpus], tmp_path / "s", eod="<|im_end|>")
    with pytest.raises(InputError, match=r"another special-token policy: 'text', and now it is 'parse'"):
        _run(bpe, [corpus], tmp_path / "s", special_tokens="parse")
    assert before == _bytes_of(tmp_path / "in") | {p.name: p.read_bytes() for p in tmp_path.glob("s*")}


def test_segments_become_masked_spans(bpe, tmp_path):
    call = [{"text": "user: hi <|im_end|>\n", "train": False}, {"text": "call_1()", "train": True}]
    result = [*call, {"text": '{"id": 1}', "train": False}]
    rows = [
        document(0),
        document(1, segments=call, text=""),
        document(2),
        document(3, segments=result, text=""),
    ]
    rows.append(document(4, segments=[{"text": "all of it", "train": True}]))
    path = write_lines(tmp_path / "a.jsonl", rows)
    manifest = _run(bpe, [path], tmp_path / "s")
    source, engine = TokenizedSource.open(tmp_path / "s"), load_engine(bpe).reference
    loss = source.read_loss_mask(0, source.total_tokens)
    starts = [*source.documents()[:, 0].tolist(), source.total_tokens]
    shown = []
    for first, stop in pairwise(starts):
        ids = source.read(first, stop - first)
        shown.append(engine.decode(ids[loss[first:stop]]))
    eod = "<|endoftext|>"
    assert shown == [
        document(0)["text"] + eod,
        "call_1()" + eod,
        document(2)["text"] + eod,
        "call_1()",
        "all of it" + eod,
    ]
    assert manifest.masked_tokens == int((~loss).sum()) > 0


def test_empty_documents_are_left_out_and_counted(bpe, tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [document(0), document(1, text=""), document(2)])
    manifest = _run(bpe, [path], tmp_path / "s")
    assert (manifest.documents, manifest.empty) == (2, 1)


def test_plain_lines_by_field_and_the_domain_by_name(bpe, tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"body": "one"}, {"body": "two"}])
    manifest = _run(bpe, [path], tmp_path / "s", field="body", domain="text")
    assert (manifest.domain, manifest.source, manifest.documents, manifest.licenses) == ("text", "s", 2, {})
    mixed = write_lines(tmp_path / "b.jsonl", [document(0), document(1, domain="agent")])
    with pytest.raises(InputError, match="several domains: agent, code"):
        _run(bpe, [mixed], tmp_path / "m")
    assert _run(bpe, [mixed], tmp_path / "m", domain="agent").domain == "agent"
    with pytest.raises(InputError, match="--domain is 'agents'; did you mean 'agent'"):
        _run(bpe, [mixed], tmp_path / "m", domain="agents")


def _command(bpe, corpus, prefix, *more):
    return [
        sys.executable,
        "-m",
        "megatron_heph.cli.main",
        "tokenize",
        str(corpus),
        "--tokenizer",
        str(bpe),
        "-o",
        str(prefix),
        "--shard-bytes",
        str(min(path.stat().st_size for path in corpus.iterdir())),
        *more,
    ]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_run_goes_on_where_it_was(bpe, tmp_path, workers):
    corpus = _corpus(tmp_path / "in", files=5, documents=1500)
    command = _command(bpe, corpus, tmp_path / "s", "--workers", workers)
    process = subprocess.Popen(command, cwd=ROOT)
    deadline = time.monotonic() + 60
    while not (tmp_path / "s.partial" / "s-00000.json").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was faster than the test"
    assert not manifest_path(tmp_path / "s").exists()
    stamp = (tmp_path / "s-00000.idx").stat().st_mtime_ns
    done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["documents"] == 7500
    assert (tmp_path / "s-00000.idx").stat().st_mtime_ns == stamp
    assert not list(tmp_path.glob("*.partial"))
    (tmp_path / "fresh").mkdir()
    _run(bpe, [corpus], tmp_path / "fresh" / "s")
    assert _bytes_of(tmp_path / "fresh") == {
        p.name: p.read_bytes() for p in tmp_path.glob("s*") if p.is_file()
    }


def test_the_command_ends_with_the_right_codes_and_never_imports_torch(bpe, tmp_path):
    corpus = _corpus(tmp_path / "in", files=1)
    code = "import sys; from megatron_heph.cli.main import main; r = main(sys.argv[1:]); "
    code += "assert 'torch' not in sys.modules; "
    command = [sys.executable, "-c", code + "sys.exit(r)", *_command(bpe, corpus, tmp_path / "s")[3:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "tokens" in done.stdout and "tiny-bpe" in done.stdout
    (corpus / "part-0.jsonl").write_text('{"text": "a"}\n{oops\n')
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "part-0.jsonl:2" in done.stderr and "Traceback" not in done.stderr


def test_a_disk_that_takes_nothing_is_a_message(bpe, tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [document(0)])
    (tmp_path / "s-00000.bin.partial").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"No space left on device.*finished ones are kept"):
        _run(bpe, [path], tmp_path / "s")


def test_inspect_shows_a_document_and_refuses_another_tokenizer(bpe, spm, tmp_path, capsys):
    import argparse

    from megatron_heph.cli import inspect_data

    _run(bpe, [_corpus(tmp_path / "in", files=2)], tmp_path / "s")
    parser = argparse.ArgumentParser()
    inspect_data.add_arguments(parser)
    assert inspect_data.run(parser.parse_args([str(tmp_path / "s")])) == 0
    out = capsys.readouterr().out
    assert "s-00001" in out and "uint16" in out and "Apache-2.0 20, MIT 20" in out
    inspect_data.run(parser.parse_args([str(tmp_path / "s"), "--document", "21", "--tokenizer", str(bpe)]))
    out = capsys.readouterr().out
    assert WORDS[21] in out and "shard s-00001" in out
    with pytest.raises(InputError, match=r"--document is 40; .* 0 to 39"):
        inspect_data.run(parser.parse_args([str(tmp_path / "s"), "--document", "40"]))
    with pytest.raises(HephError, match="heph tokenize") as caught:
        inspect_data.run(parser.parse_args([str(tmp_path / "s"), "--document", "0", "--tokenizer", str(spm)]))
    assert caught.value.exit_code == 3
