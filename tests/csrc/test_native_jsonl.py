"""read_json_lines on blocks: its columns, line ends and cuts, and json.loads on lines that are nearly documents."""

import json
import random
import threading

import numpy as np
import pytest
from jsonl_reference import DOCUMENTS, documents_of, labels_of, mutate, read_line, texts_of

from megatron_heph._native import read_json_lines


def test_the_columns_of_a_block():
    lines = [
        b'{"text":"one","license":"MIT","source":"s"}',
        b"",
        b'{"segments":[{"text":"a\\u00e9","train":true},{"text":"b","train":false}],"license":"","domain":"code"}\r',
        b"   \t\r",
        b"{oops",
        b'{"text":"\xe6\xbc\xa2","license":"ISC","source":7}',
    ]
    block = b"\n".join(lines) + b'\n{"text":"rest'
    batch = read_json_lines(block)
    assert (batch.consumed, batch.lines) == (len(block) - len(b'{"text":"rest'), 6)
    assert bytes(batch.texts) == "oneaéb漢".encode()
    assert batch.offsets.tolist() == [0, 3, 7, 10]
    assert batch.characters.tolist() == [3, 3, 1]
    assert batch.positions.tolist() == [0, block.index(b'{"segments'), block.index(b'{"text":"\xe6')]
    assert (batch.licenses[0], batch.licenses[1].tolist()) == (["MIT", "ISC"], [0, -1, 1])
    assert (batch.domains[0], batch.domains[1].tolist()) == (["code"], [-1, 0, -1])
    assert (batch.sources[0], batch.sources[1].tolist()) == (["s"], [0, -1, -1])
    assert batch.segment_documents.tolist() == [1, 1]
    assert batch.segment_ends.tolist() == [3, 4]
    assert batch.segment_train.tolist() == [True, False]
    assert batch.bad == [(block.index(b"{oops"), 5, "not JSON: expected a key in double quotes at byte 2")]
    arrays = ("texts", "offsets", "positions", "characters", "segment_documents", "segment_ends", "segment_train")
    assert [getattr(batch, name).dtype.name for name in arrays] == ["uint8", *["int64"] * 5, "bool"]


@pytest.mark.parametrize("seed", range(8))
def test_every_line_is_read_as_json_loads_reads_it(seed):
    rng = random.Random(seed)
    lines = [mutate(rng.choice(DOCUMENTS), rng) for _ in range(2500)]
    blank = [not line.strip(b" \t\r") for line in lines]
    # as one block: what stands beside a line must not change it
    batch = read_json_lines(b"\n".join(lines) + b"\n")
    assert batch.lines == len(lines)
    starts = np.cumsum([0, *(len(line) + 1 for line in lines)]).tolist()
    wanted = {start: read_line(line) for start, line in zip(starts, lines, strict=False)}
    found = dict(zip(batch.positions.tolist(), documents_of(batch), strict=True))
    assert batch.characters.tolist() == [len(document.text) for document in found.values()]
    bad = {position for position, _, _ in batch.bad}
    for start, line, is_blank in zip(starts, lines, blank, strict=False):
        assert found.get(start) == wanted[start], line
        assert (start in bad) == (wanted[start] is None and not is_blank), line
    assert 300 < len(found) < 2200 and len(bad) > 300    # the lines are neither all good nor all bad


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_every_cut_of_a_file_gives_the_same_documents(end):
    block = end.join([*DOCUMENTS, b"", b"{bad", *DOCUMENTS])     # no line end at the end
    whole = read_json_lines(block, last=True)
    for cut in range(len(block) + 1):
        first = read_json_lines(block[:cut])
        assert first.consumed == block[:cut].rfind(b"\n") + 1
        # the second call goes on where the first ended, in the same memory
        second = read_json_lines(block, begin=first.consumed, last=True)
        assert second.consumed == len(block)
        assert first.lines + second.lines == whole.lines == 2 * len(DOCUMENTS) + 2
        assert documents_of(first) + documents_of(second) == documents_of(whole)
        assert [*first.positions, *second.positions] == whole.positions.tolist()
        assert first.bad + second.bad == whole.bad
    with pytest.raises(ValueError, match=f"byte {len(block) + 1} of a block of {len(block)}"):
        read_json_lines(block, begin=len(block) + 1)


def test_the_line_end_is_no_part_of_a_bad_line():
    batch = read_json_lines(b"{a}\r\n{b}\n{c}\r", last=True)
    assert [(position, length) for position, length, _ in batch.bad] == [(0, 3), (5, 3), (9, 3)]


def test_every_kind_of_bytes_is_read():
    line = b'\n{"text":"a"}\n'
    for block in (line, bytearray(line), memoryview(line), np.frombuffer(line, np.uint8)):
        assert texts_of(read_json_lines(block)) == ["a"]
    for empty in (b"", bytearray(), np.empty(0, np.uint8)):
        batch = read_json_lines(empty, last=True)
        assert (batch.consumed, batch.lines, batch.offsets.tolist(), len(batch.texts)) == (0, 0, [0], 0)
    with pytest.raises(ValueError, match="contiguous"):
        read_json_lines(memoryview(line)[::2])
    with pytest.raises(ValueError, match="contiguous"):
        read_json_lines(np.zeros((2, 2), np.uint8))
    with pytest.raises(TypeError):
        read_json_lines("text")


def test_a_batch_does_not_need_its_block():
    block = bytearray(b'{"text":"kept","license":"MIT"}\n')
    batch = read_json_lines(block)
    block[:] = b"x" * len(block)
    block.clear()       # nothing holds its memory any more
    assert (texts_of(batch), batch.licenses[0]) == (["kept"], ["MIT"])


def test_many_names_and_documents():
    rows = [{"text": "", "source": f"site-{i % 70000}", "license": "MIT"} for i in range(100_000)]
    batch = read_json_lines("\n".join(map(json.dumps, rows)).encode(), last=True)
    assert labels_of(batch.sources) == [row["source"] for row in rows]
    assert (len(batch.positions), batch.licenses[0], len(batch.texts)) == (100_000, ["MIT"], 0)


def test_the_interpreter_runs_while_lines_are_read():
    block, ticks, done = b'{"text":"' + b"x" * 300 + b'"}\n', [], threading.Event()

    def tick():
        while not done.wait(0.0005):
            ticks.append(1)

    thread = threading.Thread(target=tick, daemon=True)
    block *= 200_000
    thread.start()
    before = len(ticks)
    read_json_lines(block)
    during = len(ticks) - before
    done.set()
    thread.join()
    assert during > 0
