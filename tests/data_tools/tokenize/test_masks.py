import numpy as np
import pytest

from data_tools.tokenize.columns import Segments
from data_tools.tokenize.masks import tokens_without_loss


def _columns(documents):
    """Segments of documents given as lists of (bytes, train)."""
    rows = [
        (number, end, train)
        for number, segments in enumerate(documents)
        for end, (_, train) in zip(np.cumsum([size for size, _ in segments]), segments, strict=True)
    ]
    numbers, ends, train = zip(*rows, strict=True)
    return Segments(np.array(numbers, np.int64), np.array(ends, np.int64), np.array(train, np.bool_))


def _plainly(segments, spans):
    """The rule byte by byte, for one document; the last entry is its end."""
    hidden = [not train for size, train in segments for _ in range(size)]
    flags = [any(hidden[min(a, len(hidden) - 1) : max(b, min(a, len(hidden) - 1) + 1)]) for a, b in spans]
    return [*flags, hidden[-1]]


def test_a_token_across_a_boundary_carries_loss_only_if_all_of_it_does():
    segments = [(4, False), (0, True), (4, True), (2, False)]
    spans = np.array([[0, 3], [3, 5], [5, 5], [5, 8], [8, 8], [8, 10], [10, 10]])
    #                 hidden  astride empty   shown   before hidden  ...    past the end
    expected = [True, True, False, False, True, True, True, True]  # and the end follows the last segment
    found = tokens_without_loss(_columns([segments]), np.array([7]), spans, ends=True)
    assert found.tolist() == expected == _plainly(segments, spans.tolist())


@pytest.mark.parametrize("ends", [True, False])
def test_many_documents_at_once_are_each_for_itself(ends):
    rng = np.random.default_rng(5)
    for _ in range(200):
        documents, spans, lengths, expected = [], [], [], []
        for _ in range(rng.integers(1, 6)):
            sizes = rng.integers(0, 5, rng.integers(1, 6))
            sizes[rng.integers(len(sizes))] += 1  # no document without text
            train = rng.random(len(sizes)) < 0.5
            segments = list(zip(sizes.tolist(), train.tolist(), strict=True))
            edges = np.sort(rng.integers(0, sizes.sum() + 1, 2 * rng.integers(0, 7)))
            mine = [[int(a), int(b)] for a, b in edges.reshape(-1, 2)]
            flags = _plainly(segments, mine)
            expected += (flags if ends else flags[:-1]) if mine else []
            documents.append(segments)
            spans += mine
            lengths.append(len(mine))
        found = tokens_without_loss(
            _columns(documents), np.array(lengths, np.int64), np.array(spans, np.int64).reshape(-1, 2), ends=ends
        )
        assert found.tolist() == expected
