"""csrc/data against Megatron's own builder, and against what must never be written."""

import errno
import threading

import numpy as np
import pytest

from megatron_heph._native import IndexedWriter


def _documents(vocab, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, vocab, size) for size in (5, 0, 1, 700, 3, 64)]


def _write(prefix, documents, vocab, dtype=np.uint32, **more):
    with IndexedWriter(str(prefix), vocab, **more) as writer:
        for part in (documents[:2], documents[2:]):
            ids = np.concatenate(part).astype(dtype)
            writer.append(ids, np.array([len(d) for d in part], np.int64))
        writer.finalize()


@pytest.mark.parametrize(("vocab", "name"), [(65499, "uint16"), (65500, "int32"), (200000, "int32")])
def test_bytes_equal_megatrons_builder(tmp_path, vocab, name):
    torch = pytest.importorskip("torch")
    from megatron.core.datasets.indexed_dataset import DType, IndexedDatasetBuilder

    documents = _documents(vocab)
    dtype = DType.optimal_dtype(vocab)
    assert np.dtype(dtype).name == name
    builder = IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=dtype)
    for row in documents:
        builder.add_document(torch.tensor(row), [len(row)])
    builder.finalize(str(tmp_path / "theirs.idx"))
    # a buffer of 64 bytes: documents cross it
    _write(tmp_path / "ours", documents, vocab, buffer_bytes=64)
    for suffix in (".bin", ".idx"):
        assert (tmp_path / f"ours{suffix}").read_bytes() == (tmp_path / f"theirs{suffix}").read_bytes()


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.uint32, np.int64])
def test_every_id_type_gives_the_same_bytes(tmp_path, dtype):
    _write(tmp_path / "a", _documents(1000), 1000, dtype)
    _write(tmp_path / "b", _documents(1000), 1000, np.uint32, buffer_bytes=8)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_end_token_follows_every_document(tmp_path):
    with IndexedWriter(str(tmp_path / "a"), 100) as writer:
        writer.append(np.array([1, 2, 3], np.int32), np.array([2, 0, 1]), end=99)
        assert (writer.tokens, writer.documents) == (6, 3)
        writer.finalize()
    assert np.fromfile(tmp_path / "a.bin", np.uint16).tolist() == [1, 2, 99, 99, 3, 99]


@pytest.mark.parametrize("bad", [1000, 65536 + 5, -1])
def test_an_id_outside_of_the_vocabulary_is_refused_and_nothing_is_left(tmp_path, bad):
    writer = IndexedWriter(str(tmp_path / "a"), 1000)
    with pytest.raises(ValueError, match=rf"token id {bad} at token 4 \(document 1\) .* 1000"):
        writer.append(np.array([1, 2, 3, 4, bad], np.int64), np.array([3, 2]))
    with pytest.raises(RuntimeError, match="closed"):
        writer.finalize()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("lengths", "end", "message"),
    [
        ([2, 2], None, "sum to 4.* 3 ids"),
        ([-1, 4], None, "document 0 has -1"),
        ([3], 1000, "end token 1000"),
        ([2**31], None, "document 0 has 2147483648"),
    ],
)
def test_wrong_lengths_and_end_are_refused(tmp_path, lengths, end, message):
    writer = IndexedWriter(str(tmp_path / "a"), 1000)
    with pytest.raises(ValueError, match=message):
        writer.append(np.array([1, 2, 3], np.int32), np.array(lengths), end)


def test_files_have_their_names_only_when_they_are_complete(tmp_path):
    with IndexedWriter(str(tmp_path / "a"), 10) as writer:
        writer.append(np.array([1], np.int32), np.array([1]))
        assert [path.name for path in tmp_path.iterdir()] == ["a.bin.partial"]
    assert not list(tmp_path.iterdir())  # left without finalize


def test_a_failed_call_carries_errno_and_path(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        IndexedWriter(str(tmp_path / "no" / "a"), 10)
    assert caught.value.errno == errno.ENOENT
    assert caught.value.filename == str(tmp_path / "no" / "a.bin.partial")


def test_a_full_disk_is_an_error_and_not_a_short_file(tmp_path):
    (tmp_path / "a.bin.partial").symlink_to("/dev/full")
    writer = IndexedWriter(str(tmp_path / "a"), 10, buffer_bytes=8)
    with pytest.raises(OSError, match=r"a\.bin\.partial") as caught:
        writer.append(np.ones(100, np.int32), np.array([100]))
    assert caught.value.errno == errno.ENOSPC


def test_the_interpreter_runs_while_the_writer_works(tmp_path):
    ids, ticks, done = np.zeros(20_000_000, np.int32), [], threading.Event()

    def tick():
        while not done.wait(0.0005):
            ticks.append(1)

    thread = threading.Thread(target=tick, daemon=True)
    with IndexedWriter(str(tmp_path / "a"), 10) as writer:
        thread.start()
        before = len(ticks)
        writer.append(ids, np.array([len(ids)]))
        during = len(ticks) - before
    done.set()
    thread.join()
    assert during > 0


def test_on_write_sees_the_bytes_of_the_file_in_order(tmp_path):
    seen = []
    documents = _documents(70000)
    _write(tmp_path / "a", documents, 70000, buffer_bytes=64, on_write=lambda view: seen.append(bytes(view)))
    assert b"".join(seen) == (tmp_path / "a.bin").read_bytes()
    assert len(seen) > 2 and all(seen)
    with IndexedWriter(str(tmp_path / "empty"), 10, on_write=seen.clear) as writer:
        writer.finalize()  # no byte, no call


def test_what_on_write_raises_ends_the_writing(tmp_path):
    def fail(view):
        raise LookupError(len(view))

    writer = IndexedWriter(str(tmp_path / "a"), 10, buffer_bytes=8, on_write=fail)
    with pytest.raises(LookupError, match="8"):
        writer.append(np.ones(100, np.int32), np.array([100]))
    assert not list(tmp_path.iterdir())
    writer = IndexedWriter(str(tmp_path / "b"), 10, on_write=fail)
    writer.append(np.ones(3, np.int32), np.array([3]))
    with pytest.raises(LookupError, match="6"):
        writer.finalize()
    assert not list(tmp_path.iterdir())


def test_the_view_ends_with_the_call(tmp_path):
    kept = []
    with IndexedWriter(str(tmp_path / "a"), 10, on_write=kept.append) as writer:
        writer.append(np.ones(3, np.int32), np.array([3]))
        writer.finalize()
    with pytest.raises(ValueError, match="released"):
        bytes(kept[0])


def test_a_call_inside_of_on_write_is_refused(tmp_path):
    caught = []

    def call(view):
        with pytest.raises(RuntimeError, match="at work") as error:
            writer.append(np.ones(1, np.int32), np.array([1]))
        caught.append(error)

    with IndexedWriter(str(tmp_path / "a"), 10, on_write=call) as writer:
        writer.append(np.ones(3, np.int32), np.array([3]))
        writer.finalize()
    assert caught and np.fromfile(tmp_path / "a.bin", np.uint16).tolist() == [1, 1, 1]
