import fcntl
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_tokenizers import document, write_lines

from data_tools.tokenize.pipeline import Options, finish, make, prepare, tokenize
from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.manifest import manifest_path, read_manifest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def lines(tmp_path):
    """One file of some 30 kB, which is cut into several shards."""
    return write_lines(tmp_path / "a.jsonl", [document(i) for i in range(200)])


def _options(bpe, **more):
    return Options(tokenizer=bpe, **({"shard_bytes": 5000, "block_bytes": 1000} | more))


def _outputs(folder, name="s"):
    return {path.name: path.read_bytes() for path in sorted(folder.glob(f"{name}[.-]*")) if path.is_file()}


def _fresh(bpe, folder, inputs, **more):
    folder.mkdir()
    tokenize([str(path) for path in inputs], folder / "s", _options(bpe, **more))
    return _outputs(folder)


def test_one_file_in_many_shards_is_the_same_stream_as_in_one(bpe, lines, tmp_path):
    many = tokenize([str(lines)], tmp_path / "s", _options(bpe))
    one = tokenize([str(lines)], tmp_path / "one", _options(bpe, shard_bytes=10**9))
    assert len(many.shards) > 4 and len(one.shards) == 1
    streams = [TokenizedSource.open(tmp_path / name) for name in ("s", "one")]
    assert (streams[0].read(0, many.tokens) == streams[1].read(0, one.tokens)).all()
    assert many.totals() == one.totals()


def test_ranks_that_share_a_job_make_what_one_run_makes(bpe, lines, tmp_path):
    jobs = [prepare([str(lines)], tmp_path / "s", _options(bpe)) for _ in range(3)]
    with pytest.raises(InputError, match=r"not finished: \d+ of \d+ shards are not there \(s-00000, s-00001"):
        finish(jobs[0])
    for rank in (2, 0, 1):
        make(jobs[rank], range(rank, len(jobs[rank].tasks), 3))
    finish(jobs[1])
    assert _outputs(tmp_path) == _fresh(bpe, tmp_path / "fresh", [lines])
    assert not (tmp_path / "s.partial").exists()


def test_added_inputs_become_new_shards_and_no_old_one_is_written(bpe, lines, tmp_path):
    tokenize([str(lines)], tmp_path / "s", _options(bpe))
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("s-*")}
    more = write_lines(tmp_path / "b.jsonl", [document(i) for i in range(5)])
    manifest = tokenize([str(lines), str(more)], tmp_path / "s", _options(bpe))
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in before} == before
    assert [piece.path for piece in manifest.shards[-1].inputs] == ["b.jsonl"] and manifest.documents == 205
    TokenizedSource.open(tmp_path / "s")


def test_an_input_that_changed_in_place_is_done_again(bpe, lines, tmp_path):
    tokenize([str(lines)], tmp_path / "s", _options(bpe))
    stamps = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("s-*.idx")}
    text = bytearray(lines.read_bytes())
    at = text.rindex(b"quick")
    text[at : at + 5] = b"slow!"  # the same size, in the last shard
    lines.write_bytes(text)
    tokenize([str(lines)], tmp_path / "s", _options(bpe))
    changed = [name for name, stamp in stamps.items() if (tmp_path / name).stat().st_mtime_ns != stamp]
    assert changed == [max(stamps)]  # the others' bytes are the same, though the file is newer
    assert _outputs(tmp_path) == _fresh(bpe, tmp_path / "fresh", [lines])


def test_while_a_shard_is_made_again_no_manifest_says_that_all_is_well(bpe, lines, tmp_path):
    tokenize([str(lines)], tmp_path / "s", _options(bpe))
    write_lines(lines, [document(i) for i in range(300)])
    job = prepare([str(lines)], tmp_path / "s", _options(bpe))
    assert not manifest_path(tmp_path / "s").exists()
    make(job, range(len(job.tasks)))
    assert finish(job).documents == 300
    write_lines(lines, [document(i) for i in range(10)])  # fewer shards than before
    assert tokenize([str(lines)], tmp_path / "s", _options(bpe)).documents == 10
    assert sorted(path.name for path in tmp_path.glob("s-*")) == ["s-00000.bin", "s-00000.idx"]


def test_a_second_run_on_the_same_prefix_is_refused_and_a_later_one_is_not(bpe, lines, tmp_path):
    (tmp_path / "s.partial").mkdir()
    with (tmp_path / "s.partial" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match=r"Another run is writing .*/s \("):
            tokenize([str(lines)], tmp_path / "s", _options(bpe))
    assert tokenize([str(lines)], tmp_path / "s", _options(bpe)).documents == 200


def test_a_plan_of_which_nothing_is_done_binds_nobody(bpe, lines, tmp_path):
    with pytest.raises(InputError, match=r"no text under the key 'txt' .* --field names the key"):
        tokenize([str(lines)], tmp_path / "s", _options(bpe, field="txt"))
    (tmp_path / "s-00003.bin").write_bytes(b"begun under that plan")
    assert len(tokenize([str(lines)], tmp_path / "s", _options(bpe, shard_bytes=10**9)).shards) == 1
    assert sorted(path.name for path in tmp_path.glob("s*")) == ["s-00000.bin", "s-00000.idx", "s.manifest.json"]


def test_pairs_that_nobody_recorded_are_not_overwritten(bpe, lines, tmp_path):
    (tmp_path / "s-00001.bin").write_bytes(b"somebody's")
    with pytest.raises(InputError, match=r"s-00001\.bin is there, and no s\.manifest\.json says what it is"):
        tokenize([str(lines)], tmp_path / "s", _options(bpe))
    assert (tmp_path / "s-00001.bin").read_bytes() == b"somebody's"
    assert not (tmp_path / "s.partial").exists()


def test_malformed_lines_are_set_aside_up_to_the_limit(bpe, lines, tmp_path):
    whole = _fresh(bpe, tmp_path / "fresh", [lines], shard_bytes=10**9)
    rows = lines.read_bytes().splitlines()
    places = [3, 50, 51, 199]
    for number, place in enumerate(places):
        rows.insert(place + number, b'{"text": "half')
    lines.write_bytes(b"\n".join(rows))
    with pytest.raises(InputError, match=r"a\.jsonl:4: not JSON.*--max-bad-lines N"):
        tokenize([str(lines)], tmp_path / "s", _options(bpe))
    with pytest.raises(InputError, match=r"4 lines are no documents, and --max-bad-lines is 3.*s-0000\d\.quarantine"):
        tokenize([str(lines)], tmp_path / "s", _options(bpe, max_bad_lines=3))
    manifest = tokenize([str(lines)], tmp_path / "s", _options(bpe, max_bad_lines=4, merge=True))
    assert (manifest.malformed, manifest.documents) == (4, 200)
    assert (tmp_path / "s.bin").read_bytes() == whole["s-00000.bin"]
    rows = [json.loads(row) for path in tmp_path.glob("*.quarantine.jsonl") for row in path.read_text().splitlines()]
    content = lines.read_bytes()
    assert len(rows) == 4 and {row["file"] for row in rows} == {"a.jsonl"}
    for row in rows:
        assert content[row["byte"] : row["byte"] + row["bytes"]] == b'{"text": "half' and "not JSON" in row["reason"]


def test_merged_is_one_pair_byte_for_byte_and_can_be_added_to(bpe, lines, tmp_path):
    whole = _fresh(bpe, tmp_path / "fresh", [lines], shard_bytes=10**9)
    manifest = tokenize([str(lines)], tmp_path / "s", _options(bpe, merge=True))
    assert [shard.name for shard in manifest.shards] == ["s"] and manifest.documents == 200
    assert sorted(path.name for path in tmp_path.glob("s*")) == ["s.bin", "s.idx", "s.manifest.json"]
    tokenize([str(lines)], tmp_path / "t", _options(bpe))
    for suffix in (".bin", ".idx"):
        (tmp_path / f"t{suffix}").write_bytes(b"somebody's")
    with pytest.raises(InputError, match=r"There is a shard .*/t already"):
        tokenize([str(lines)], tmp_path / "t", _options(bpe, merge=True))
    assert (tmp_path / "t.bin").read_bytes() == b"somebody's"
    for suffix in (".bin", ".idx"):
        assert (tmp_path / f"s{suffix}").read_bytes() == whole[f"s-00000{suffix}"]
    fresh = read_manifest(tmp_path / "fresh" / "s.manifest.json").shards[0]
    assert (manifest.shards[0].bin_xxh3, manifest.shards[0].idx_xxh3) == (fresh.bin_xxh3, fresh.idx_xxh3)
    stamp = (tmp_path / "s.bin").stat().st_mtime_ns
    tokenize([str(lines)], tmp_path / "s", _options(bpe, merge=True))
    assert (tmp_path / "s.bin").stat().st_mtime_ns == stamp
    more = write_lines(tmp_path / "b.jsonl", [document(i) for i in range(5)])
    grown = tokenize([str(lines), str(more)], tmp_path / "s", _options(bpe))
    assert [shard.name for shard in grown.shards] == ["s", "s-00000"]
    assert TokenizedSource.open(tmp_path / "s").total_tokens == grown.tokens


def test_masks_are_merged_with_their_shards(bpe, tmp_path):
    segments = [{"text": "user: hi\n", "train": False}, {"text": "call_1()", "train": True}]
    rows = [document(i, segments=segments) if i % 3 else document(i) for i in range(120)]
    path = write_lines(tmp_path / "a.jsonl", rows)
    tokenize([str(path)], tmp_path / "many", _options(bpe))
    tokenize([str(path)], tmp_path / "one", _options(bpe, merge=True))
    many, one = (TokenizedSource.open(tmp_path / name) for name in ("many", "one"))
    assert len(many.shards) > 2
    loss = many.read_loss_mask(0, many.total_tokens)
    assert (loss == one.read_loss_mask(0, one.total_tokens)).all() and not loss.all()


# Ends the process at the n-th system call that changes the output folder, as a machine would that stops.
_KILLER = """
import os, pathlib, sys
from megatron_heph.formats import manifest, mask
from data_tools.tokenize import state, shards
left = [int(sys.argv.pop(1))]
def count(function):
    def call(*args, **more):
        left[0] -= 1
        if left[0] < 0:
            os._exit(9)
        return function(*args, **more)
    return call
pathlib.Path.replace = count(pathlib.Path.replace)
pathlib.Path.unlink = count(pathlib.Path.unlink)
os.fsync = count(os.fsync)
writer = shards.IndexedWriter
class Writer(writer):
    append = count(writer.append)
    def finalize(self):
        count(lambda: None)()
        writer.finalize(self)
        count(lambda: None)()
shards.IndexedWriter = Writer
from megatron_heph.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_ended_anywhere_a_run_goes_on_and_ends_the_same(bpe, lines, tmp_path):
    expected = _fresh(bpe, tmp_path / "fresh", [lines])
    command = [
        "tokenize", str(lines), "--tokenizer", str(bpe), "-o", str(tmp_path / "s"),
        "--shard-bytes", "5000", "--workers", "1",
    ]  # fmt: skip
    places, kills = random.Random(7), 0
    for place in [0, 1, 2, 3, 5, *sorted(places.sample(range(6, 60), 5))]:
        code = subprocess.run([sys.executable, "-c", _KILLER, str(place), *command], cwd=ROOT, timeout=120).returncode
        kills += code == 9
        assert code in (0, 9)
        if manifest_path(tmp_path / "s").is_file():
            TokenizedSource.open(tmp_path / "s")  # a manifest is never wrong
        if code == 0:
            break
    assert kills >= 5
    subprocess.run([sys.executable, "-m", "megatron_heph.cli.main", *command], cwd=ROOT, check=True)
    assert _outputs(tmp_path) == expected and not (tmp_path / "s.partial").exists()
    shutil.rmtree(tmp_path / "fresh")
    assert not list(tmp_path.glob("*.partial"))
