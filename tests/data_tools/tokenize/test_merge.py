"""Merged shards against one shard written in one go, and what must never be merged."""

import numpy as np
import pytest

from data_tools.tokenize.merge import MergeTotals, merge_shards
from megatron_heph._native import IndexedWriter, merge_pairs
from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.mask import MaskWriter, mask_path, spans_of


def _write(prefix, documents, vocab=1000, hidden=()):
    """A shard of token lists; `hidden` are the tokens of it without loss."""
    with IndexedWriter(str(prefix), vocab) as writer, MaskWriter(mask_path(prefix)) as mask:
        ids = np.concatenate([np.empty(0, np.int64), *map(np.asarray, documents)]).astype(np.int64)
        writer.append(ids, np.array([len(d) for d in documents], np.int64))
        flags = np.zeros(len(ids), np.bool_)
        flags[list(hidden)] = True
        mask.append(spans_of(flags))
        mask.finalize()
        writer.finalize()
    return prefix


def _bytes(prefix):
    return {s: (prefix.parent / f"{prefix.name}{s}").read_bytes() for s in (".bin", ".idx", ".mask")}


@pytest.mark.parametrize("vocab", [1000, 70000])
def test_a_merged_shard_equals_one_written_in_one_go(tmp_path, vocab):
    rng = np.random.default_rng(0)
    documents = [rng.integers(0, vocab, size) for size in (5, 0, 700, 1, 64, 3, 9)]
    parts = [documents[:3], documents[3:4], [], documents[4:]]
    # the first part ends and the second begins without loss: their spans become one
    hidden = [[2, 3, 704], [0], [], [7, 70]]
    prefixes = [
        _write(tmp_path / f"part-{i}", part, vocab, hide)
        for i, (part, hide) in enumerate(zip(parts, hidden, strict=True))
    ]
    starts = np.cumsum([0, *(sum(map(len, part)) for part in parts)])
    all_hidden = [h + start for hide, start in zip(hidden, starts[:-1], strict=True) for h in hide]
    whole = _write(tmp_path / "whole", documents, vocab, all_hidden)

    copied = []
    totals = merge_shards(prefixes, tmp_path / "merged", copied.append)
    assert _bytes(tmp_path / "merged") == _bytes(whole)
    assert totals == MergeTotals(7, 782, 6, sum(copied)) and sum(copied) == 782 * (2 if vocab < 65500 else 4)
    assert len(np.fromfile(mask_path(whole), "<u8").reshape(-1, 2)) == 4
    assert not list(tmp_path.glob("*.partial"))


def test_a_merge_of_pairs_without_masks_has_none(tmp_path):
    prefixes = [_write(tmp_path / name, [[1, 2], [3]]) for name in "ab"]
    assert merge_shards(prefixes, tmp_path / "m") == MergeTotals(4, 6, 0, 12)
    assert not mask_path(tmp_path / "m").exists()
    assert TokenizedSource.open(tmp_path / "m").documents().tolist() == [[0, 2], [2, 1], [3, 2], [5, 1]]


def test_documents_of_several_sequences_stay_together(tmp_path):
    torch = pytest.importorskip("torch")
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    def build(name, *documents):
        builder = IndexedDatasetBuilder(str(tmp_path / f"{name}.bin"), dtype=np.int32)
        for document in documents:
            tokens = torch.tensor([token for sequence in document for token in sequence])
            builder.add_document(tokens, [len(sequence) for sequence in document])
        builder.finalize(str(tmp_path / f"{name}.idx"))
        return tmp_path / name

    first, second = [[1, 2], [3]], [[4, 5, 6]]
    third = [[7], [8, 9], [10]]
    merge_shards([build("a", first, second), build("b", third)], tmp_path / "m")
    build("whole", first, second, third)
    for suffix in (".bin", ".idx"):
        assert (tmp_path / f"m{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


def test_other_dtypes_are_refused_with_both_files(tmp_path):
    prefixes = [_write(tmp_path / "small", [[1]], 1000), _write(tmp_path / "large", [[1]], 70000)]
    with pytest.raises(InputError, match=r"small\.idx holds uint16.*large\.idx holds int32"):
        merge_shards(prefixes, tmp_path / "m")
    with pytest.raises(ValueError, match=r"small\.idx holds uint16, and .*large\.idx holds int32"):
        merge_pairs([str(p) for p in prefixes], str(tmp_path / "m"))
    assert not list(tmp_path.glob("m*"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:20], "cut short"),
        (lambda raw: raw[:-1], "cut short|does not fit"),
        (lambda raw: b"PK" + raw[2:], "not an index"),
        (lambda raw: raw[:9] + b"\2" + raw[10:], "version"),
        (lambda raw: raw[:17] + b"\6" + raw[18:], "dtype code 6"),
        (lambda raw: raw[:18] + b"\xff" * 8 + raw[26:], "cut short|does not fit"),
        (lambda raw: raw[:-8] + b"\0" * 8, "document ind"),
        (lambda raw: raw[:34] + b"\1\0\0\0" + raw[38:], r"\d+ bytes|pointers"),
    ],
)
def test_a_damaged_index_is_refused_before_anything_is_written(tmp_path, damage, message):
    good, bad = _write(tmp_path / "a", [[1, 2]]), _write(tmp_path / "b", [[1, 2]])
    index = tmp_path / "b.idx"
    index.write_bytes(damage(index.read_bytes()))
    with pytest.raises(InputError, match=message):
        merge_shards([good, bad], tmp_path / "m")
    with pytest.raises(ValueError, match=message):
        merge_pairs([str(good), str(bad)], str(tmp_path / "m"))
    assert not list(tmp_path.glob("m*"))


def test_a_bin_that_is_cut_short_is_refused(tmp_path):
    prefix = _write(tmp_path / "a", [[1, 2, 3]])
    (tmp_path / "a.bin").write_bytes(b"\0\0")
    with pytest.raises(InputError, match=r"a\.bin has 2 bytes, .* says 6"):
        merge_shards([prefix], tmp_path / "m")
    with pytest.raises(ValueError, match=r"a\.bin has 2 bytes, and .*a\.idx says 6"):
        merge_pairs([str(prefix)], str(tmp_path / "m"))


def test_a_mask_of_another_shard_is_refused(tmp_path):
    prefix = _write(tmp_path / "a", [[1, 2, 3]], hidden=[2])
    _write(tmp_path / "b", [[1]] * 9, hidden=[8])
    mask_path(prefix).write_bytes(mask_path(tmp_path / "b").read_bytes())
    with pytest.raises(InputError, match=r"a\.mask: span 0 covers tokens 8 to 9"):
        merge_shards([prefix], tmp_path / "m")
    assert not list(tmp_path.glob("m*"))


def test_names_that_lose_or_repeat_documents_are_refused(tmp_path):
    a, b = _write(tmp_path / "a", [[1]]), _write(tmp_path / "b", [[2]])
    with pytest.raises(InputError, match="nothing to merge"):
        merge_shards([], tmp_path / "m")
    with pytest.raises(InputError, match="named twice"):
        merge_shards([a, b, tmp_path / "." / "a"], tmp_path / "m")
    with pytest.raises(InputError, match="one of the shards"):
        merge_shards([a, b], a)
    with pytest.raises(InputError, match=r"There is a shard .*b already"):
        merge_shards([a], b)
    with pytest.raises(InputError, match=r"There is no .*c\.bin"):
        merge_shards([a, tmp_path / "c"], tmp_path / "m")
    assert TokenizedSource.open(b).read(0, 1).tolist() == [2]


def test_a_full_disk_leaves_nothing(tmp_path):
    prefix = _write(tmp_path / "a", [[1, 2, 3]], hidden=[0])
    (tmp_path / "m.bin.partial").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"m\.bin\.partial: .*No space left"):
        merge_shards([prefix], tmp_path / "m")
    assert not list(tmp_path.glob("m*"))


def test_what_on_copied_raises_ends_the_merge(tmp_path):
    prefix = _write(tmp_path / "a", [[1, 2, 3]], hidden=[0])

    def stop(copied):
        raise KeyboardInterrupt(copied)

    with pytest.raises(KeyboardInterrupt, match="6"):
        merge_shards([prefix], tmp_path / "m", stop)
    assert not list(tmp_path.glob("m*"))
