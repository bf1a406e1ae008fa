"""Batches from pieces: every position against a plain reading of the same."""

import os

import numpy as np
import pytest

from megatron_heph._native import IndexedWriter
from megatron_heph.data.reading import BatchReader, Buffers
from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.mask import MaskWriter, mask_path


def _source(prefix, lengths, vocab, masked=()):
    ids = np.random.default_rng(len(lengths)).integers(0, vocab, sum(lengths)).astype(np.int32)
    with IndexedWriter(str(prefix), vocab) as writer:
        writer.append(ids, np.array(lengths))
        writer.finalize()
    if masked:
        with MaskWriter(mask_path(prefix)) as mask:
            mask.append(np.array(masked))
            mask.finalize()
    return TokenizedSource.open(prefix)


@pytest.fixture
def sources(tmp_path):
    """Two sources of 40 tokens; in the second one tokens 12, 13 and 14 carry no loss."""
    return {
        "a": _source(tmp_path / "a", [10, 5, 25], 1000),
        "b": _source(tmp_path / "b", [4, 0, 36], 1000, [[12, 3]]),
    }


def _pieces(*rows):
    return np.array(rows, np.int64).reshape(-1, 5)


def test_a_window_is_one_segment_whatever_documents_it_crosses(sources):
    reader = BatchReader(sources, [False, False], 1000)
    pieces = _pieces((0, 0, 0, 3, 8), (1, 0, 1, 9, 5), (1, 5, 1, 0, 3))
    batch = reader.read(pieces, np.array([0, 1]), 8)
    a, b = (source.read(0, 40) for source in sources.values())
    assert batch.tokens_BL.dtype == np.uint16 and batch.cu_seqlens.dtype == np.int32
    assert batch.tokens_BL.tolist() == [a[3:11].tolist(), [*b[9:14], *b[0:3]]]
    assert batch.labels_BL.tolist() == [a[4:12].tolist(), [*b[10:15], *b[1:4]]]      # each piece's own next tokens
    assert batch.loss_BL.tolist() == [[True] * 8, [True, True, False, False, False, True, True, True]]
    assert batch.cu_seqlens.tolist() == [0, 8, 16]


def test_documents_stay_apart_where_the_source_says_so(sources):
    reader = BatchReader(sources, [True, True], 1000)
    # tokens 3 .. 14 of a: documents begin at 10 and at 15, which is the last label
    batch = reader.read(_pieces((0, 0, 0, 3, 12)), np.array([0]), 12)
    assert batch.cu_seqlens.tolist() == [0, 7, 12]
    assert np.flatnonzero(~batch.loss_BL[0]).tolist() == [6, 11]
    # two pieces: an edge where the second one begins, in the middle of a document
    batch = reader.read(_pieces((0, 0, 0, 3, 4), (0, 4, 0, 30, 4)), np.array([0]), 8)
    assert batch.cu_seqlens.tolist() == [0, 4, 8] and batch.loss_BL.all()


def test_what_no_piece_covers_is_padding(sources):
    reader = BatchReader(sources, [False, True], 1000)
    out = Buffers.allocate(3, 6, reader.dtype)
    out.tokens_BL[:], out.labels_BL[:], out.loss_BL[:] = 99, 99, True
    pieces = _pieces((0, 1, 0, 0, 2), (0, 4, 0, 5, 1), (2, 0, 1, 5, 4))
    batch = reader.read(pieces, np.array([0, 0, 1]), 6, out)
    assert batch.tokens_BL is out.tokens_BL
    gaps = [[0, 3, 5], [0, 1, 2, 3, 4, 5], [4, 5]]
    for row, columns in enumerate(gaps):
        assert not batch.tokens_BL[row, columns].any() and not batch.labels_BL[row, columns].any()
        assert np.flatnonzero(~batch.loss_BL[row]).tolist() == columns
    assert batch.cu_seqlens.tolist() == [0, 1, 3, 4, 5, 6, 12, 16, 18]


def test_joined_rows_have_the_next_token_of_the_row_as_label(sources):
    a = sources["a"].read(0, 40)
    pieces = _pieces((0, 0, 0, 10, 5), (0, 5, 0, 0, 4))     # a whole document, and the beginning of another
    row = np.concatenate([a[10:15], a[0:4]])
    for apart, edges, lost in ((False, [0, 8], []), (True, [0, 5, 8], [4])):
        batch = BatchReader(sources, [apart, apart], 1000).read(pieces, np.array([0]), 8, joined=True)
        assert batch.tokens_BL[0].tolist() == row[:8].tolist() and batch.labels_BL[0].tolist() == row[1:].tolist()
        assert batch.cu_seqlens.tolist() == edges
        assert np.flatnonzero(~batch.loss_BL[0]).tolist() == lost
    masked = BatchReader(sources, [False, False], 1000).read(_pieces((0, 0, 1, 10, 9)), np.array([1]), 8, joined=True)
    assert np.flatnonzero(~masked.loss_BL[0]).tolist() == [1, 2, 3]     # labels are the tokens 11, 12, ...


@pytest.mark.parametrize(("vocab", "dtype"), [(65536, np.uint16), (65537, np.int32), (None, np.int32)])
def test_the_narrowest_type_that_holds_the_vocabulary(tmp_path, vocab, dtype):
    wide = _source(tmp_path / "wide", [50], 65500)      # stored as int32
    narrow = _source(tmp_path / "narrow", [50], 100)
    sources = {"narrow": narrow, "wide": wide}
    reader = BatchReader(sources, [False, False], vocab)
    batch = reader.read(_pieces((0, 0, 0, 0, 9), (1, 0, 1, 0, 9)), np.array([0, 1]), 9)
    assert batch.tokens_BL.dtype == dtype
    assert batch.tokens_BL.tolist() == [narrow.read(0, 9).tolist(), wide.read(0, 9).tolist()]
    with pytest.raises(InputError, match=r"uint16.*wider ids.*not known: give int32"):
        out = Buffers.allocate(1, 9, np.dtype(np.uint16))
        BatchReader(sources, [False, False], None).read(_pieces((0, 0, 1, 0, 9)), np.array([1]), 9, out)


def test_an_id_that_the_model_lacks_is_named_with_its_place(sources):
    ids = sources["a"].read(0, 40)
    at = int(np.argmax(ids))
    reader = BatchReader(sources, [False, False], int(ids.max()))
    message = rf"a\.bin holds the id {ids.max()} at its token {at} .*vocabulary is {ids.max()} "
    with pytest.raises(InputError, match=message):
        reader.read(_pieces((0, 0, 0, 0, 39)), np.array([0]), 39)


WRONG = {
    "row": ((2, 0, 0, 0, 1), "does not hold it"),
    "negative row": ((-1, 0, 0, 0, 1), "does not hold it"),
    "column": ((0, 8, 0, 0, 1), "does not hold it"),
    "too long": ((0, 4, 0, 0, 5), "does not hold it"),
    "count": ((0, 0, 0, 0, 0), "does not hold it"),
    "overflow": ((0, 1, 0, 0, 2**63 - 1), "does not hold it"),
    "source": ((0, 0, 2, 0, 1), "its source"),
    "start": ((0, 0, 0, -1, 1), "beyond the source's 40"),
    "label": ((0, 0, 0, 39, 1), "reads 2 tokens, beyond the source's 40"),
    "far": ((0, 0, 0, 2**63 - 1, 1), "beyond the source's 40"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_piece_that_does_not_fit_is_refused_before_anything_is_written(sources, name):
    piece, message = WRONG[name]
    reader, out = BatchReader(sources, [False, True], None), Buffers.allocate(2, 8, np.dtype(np.uint16))
    out.tokens_BL[:] = 7
    with pytest.raises(InputError, match=message):
        reader.read(_pieces(piece), np.array([0, 0]), 8, out)
    assert (out.tokens_BL == 7).all()


def test_pieces_that_overlap_are_refused(sources):
    reader = BatchReader(sources, [False, True], None)
    for second in ((0, 3, 0, 0, 2), (0, 0, 0, 0, 4)):
        with pytest.raises(InputError, match="does not begin behind the piece before"):
            reader.read(_pieces((0, 0, 0, 0, 4), second), np.array([0, 0]), 8)
    with pytest.raises(InputError, match="does not begin behind"):
        reader.read(_pieces((1, 0, 0, 0, 4), (0, 0, 0, 0, 4)), np.array([0, 0]), 8)


def test_cold_pieces_give_the_same_batch(tmp_path):
    """Pieces out of the page cache are read by several threads, long ones in blocks."""
    rng = np.random.default_rng(0)
    source = _source(tmp_path / "big", rng.integers(1, 3000, 700).tolist(), 50000)
    starts = rng.integers(0, source.total_tokens - 20001, 12)
    pieces = _pieces(*[(row, 0, 0, start, 20000) for row, start in enumerate(starts)])
    warm = BatchReader({"big": source}, [True], 50000).read(pieces, np.zeros(12, np.int64), 20000)
    for suffix in (".bin", ".idx"):
        fd = os.open(f"{source.prefix}{suffix}", os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
    reader = BatchReader({"big": source}, [True], 50000, threads=4, block_bytes=1 << 14)
    cold = reader.read(pieces, np.zeros(12, np.int64), 20000)
    for name in ("tokens_BL", "labels_BL", "loss_BL", "cu_seqlens"):
        assert np.array_equal(getattr(warm, name), getattr(cold, name))
    assert reader.counts().bytes >= 2 * 12 * 40002


def test_a_file_that_is_gone_or_shrinks_is_a_wrong_input(sources, tmp_path):
    reader = BatchReader(sources, [False, False], 1000)
    pieces = _pieces((0, 0, 0, 30, 8))
    reader.read(pieces, np.array([0]), 8)
    os.truncate(tmp_path / "a.bin", 70)
    with pytest.raises(InputError, match=r"a\.bin has shrunk: it had 80 bytes .* at 70, now"):
        reader.read(pieces, np.array([0]), 8)
    (tmp_path / "b.bin").unlink()
    with pytest.raises(InputError, match=r"b\.bin: cannot open the file: No such file.*Copy it again"):
        reader.read(_pieces((0, 0, 1, 0, 8)), np.array([1]), 8)
