"""The native reader against Megatron's own IndexedDataset, and against files that change while it reads."""

import os
import resource
import threading
from pathlib import Path

import numpy as np
import pytest

from megatron_heph._native import IndexedWriter, ReadAhead, TokenReader, read_index_header


def write_pair(prefix, lengths, vocab=60000, seed=0):
    """A pair of random ids; returns them."""
    ids = np.random.default_rng(seed).integers(0, vocab, sum(lengths)).astype(np.int32)
    with IndexedWriter(str(prefix), vocab) as writer:
        writer.append(ids, np.asarray(lengths, np.int64))
        writer.finalize()
    return ids


def spec(prefix, has_mask=False):
    code, sequences, entries, size = read_index_header(f"{prefix}.idx")
    itemsize = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 8: 2}[code]
    return str(prefix), code, size // itemsize, sequences, entries, has_mask


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64])
def test_reads_what_megatron_writes_of_every_integer_type(tmp_path, dtype):
    torch = pytest.importorskip("torch")
    from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder

    rng = np.random.default_rng(3)
    builder = IndexedDatasetBuilder(str(tmp_path / "m.bin"), dtype=dtype)
    for parts in ([3, 0, 5], [7], [0], [2000]):
        builder.add_document(torch.from_numpy(rng.integers(0, 120, sum(parts))), parts)
    builder.finalize(str(tmp_path / "m.idx"))
    theirs, ours = IndexedDataset(str(tmp_path / "m")), TokenReader([spec(tmp_path / "m")])
    flat = np.concatenate([theirs[i] for i in range(len(theirs))])
    read = ours.read(0, ours.total_tokens)
    assert read.dtype == (np.uint16 if dtype == np.uint16 else np.int32) and np.array_equal(read, flat)
    assert ours.documents(0, len(flat)).tolist() == [[0, 8], [8, 7], [15, 2000]]
    assert ours.document_at(14) == (0, 1, 8, 7) and ours.document_at(15) == (0, 3, 15, 2000)


def test_floats_are_refused_by_name(tmp_path):
    write_pair(tmp_path / "a", [3])
    raw = bytearray((tmp_path / "a.idx").read_bytes())
    raw[17] = 7
    (tmp_path / "a.idx").write_bytes(raw)
    with pytest.raises(ValueError, match=r"dtype code 7 \(float32\)"):
        read_index_header(str(tmp_path / "a.idx"))
    with pytest.raises(ValueError, match=r"float64.*no type of ids"):
        TokenReader([(str(tmp_path / "a"), 6, 3, 1, 2, False)])


@pytest.mark.parametrize(("bad", "said"), [(-5, "-5"), (2**40, str(2**40))])
def test_an_id_that_is_none_is_named_with_its_place(tmp_path, bad, said):
    ids = np.arange(100, dtype=np.int64)
    ids[70] = bad
    head = b"MMIDIDX\0\0" + np.array([1], "<u8").tobytes() + b"\5" + np.array([1, 2], "<u8").tobytes()
    (tmp_path / "a.bin").write_bytes(ids.tobytes())
    (tmp_path / "a.idx").write_bytes(head + np.int32(100).tobytes() + np.array([0, 0, 1], "<i8").tobytes())
    reader = TokenReader([spec(tmp_path / "a"), spec(tmp_path / "a")])
    assert reader.read(0, 70).tolist() == list(range(70))
    with pytest.raises(ValueError, match=rf"a\.bin holds the id {said} at its token 70 \(token 170 of the source\)"):
        reader.read(150, 50)


def test_finds_documents_wherever_they_are(tmp_path):
    """Lengths that are far from even: interpolation alone would not find them."""
    rng = np.random.default_rng(1)
    lengths = np.concatenate([np.ones(9000), rng.integers(500, 900, 300), np.zeros(2000), np.ones(9000), [200_000]])
    lengths = lengths.astype(np.int64)
    write_pair(tmp_path / "a", lengths.tolist())
    reader, starts = TokenReader([spec(tmp_path / "a")]), np.concatenate([[0], np.cumsum(lengths)])
    real = lengths > 0
    pairs = np.stack([starts[:-1], lengths], axis=1)[real]
    assert np.array_equal(reader.documents(0, reader.total_tokens), pairs)
    for position in rng.integers(0, reader.total_tokens, 300).tolist():
        number = np.searchsorted(starts[:-1][real], position, side="right") - 1
        shard, at, start, length = reader.document_at(position)
        assert (shard, start, length) == (0, *pairs[number]) and at == np.flatnonzero(real)[number]
    assert reader.counters["reads"] < 300 * 12      # a bisection alone of 20,000 would not be below either


def test_a_bin_that_shrinks_while_it_is_read_is_an_error_and_no_signal(tmp_path):
    write_pair(tmp_path / "a", [1 << 18])
    reader = TokenReader([spec(tmp_path / "a")])
    size, errors, stop = reader.total_tokens, [], threading.Event()

    def read():
        rng = np.random.default_rng(threading.get_ident())
        while not stop.is_set() and not errors:
            try:
                reader.read(int(rng.integers(0, size - 4096)), 4096)
            except ValueError as error:
                errors.append(str(error))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    os.truncate(tmp_path / "a.bin", 5001)
    for thread in threads:
        thread.join(timeout=30)
    stop.set()
    assert errors and f"a.bin has shrunk: it had {2 * size} bytes" in errors[0] and ", at 5001, now" in errors[0]
    assert reader.read(0, 2500).shape == (2500,)


def test_files_are_checked_when_they_are_first_read(tmp_path):
    write_pair(tmp_path / "a", [10, 20])
    good = spec(tmp_path / "a")
    reader = TokenReader([good])        # opens nothing
    os.truncate(tmp_path / "a.bin", 58)
    with pytest.raises(ValueError, match=r"a\.bin has 58 bytes, and 60 are right for its 30 tokens of uint16"):
        reader.read(0, 1)
    write_pair(tmp_path / "a", [10, 10, 10])
    with pytest.raises(ValueError, match=r"a\.idx has 3 sequences in 3 documents.*opened with 2 sequences in 2"):
        reader.read(0, 1)
    (tmp_path / "a.bin").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        reader.read(0, 1)
    assert caught.value.filename == str(tmp_path / "a.bin")


def test_few_shards_are_open_at_a_time(tmp_path):
    for i in range(12):
        write_pair(tmp_path / str(i), [50], seed=i)
    specs = [spec(tmp_path / str(i)) for i in range(12)]
    reader = TokenReader(specs, open_shards=3)
    assert reader.open_shards == 0
    whole = reader.read(0, 600)
    assert reader.open_shards == 3
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    assert np.array_equal(reader.read(25, 500), whole[25:525])
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:        # half of the files that there may be are taken: a reader keeps a few
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, limits[1]))
        careful = TokenReader(specs)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert np.array_equal(careful.read(0, 600), whole) and careful.open_shards <= 8


def test_what_is_wanted_is_read_once_and_in_the_background(tmp_path):
    write_pair(tmp_path / "a", [1 << 16])
    reader, ahead = TokenReader([spec(tmp_path / "a")]), ReadAhead(threads=2, block_bytes=1 << 14)
    assert ahead.threads == 0
    for _ in range(3):
        ahead.want(reader, 1000, 1 << 15)
        ahead.want(reader, 1 << 40, 5)      # a hint: what is not there is left out
    done = threading.Event()
    for _ in range(500):
        if ahead.waiting == 0 and reader.counters["ahead_bytes"] >= 1 << 16:
            break
        done.wait(0.01)
    assert reader.counters["ahead_bytes"] == 1 << 16 and reader.counters["bytes"] == 0 and ahead.threads == 2


@pytest.mark.parametrize(("start", "count"), [(-1, 1), (0, -1), (0, 31), (31, 0), (2**62, 2**62)])
def test_a_range_outside_is_refused(tmp_path, start, count):
    write_pair(tmp_path / "a", [10, 20])
    reader = TokenReader([spec(tmp_path / "a")])
    for ask in (reader.read, reader.loss, reader.documents):
        with pytest.raises(ValueError, match=r"negative|not inside the source, which has 30"):
            ask(start, count)
