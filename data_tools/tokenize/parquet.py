"""Documents out of Parquet files: a column of text, and the columns license, domain, source where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from data_tools.tokenize.columns import Batch, Codes, Segments, Texts
from data_tools.tokenize.inputs import read_range
from data_tools.tokenize.plan import Piece
from megatron_heph.errors import InputError, nearest

_LABELS = ("license", "domain", "source")


def read_row_groups(piece: Piece, field: str, on_bytes: Callable[[bytes], Any], block_bytes: int) -> Iterator[Batch]:
    """Yields the documents of the row groups that begin in a piece; nulls are empty documents.

    Raises InputError if pyarrow is missing, the file is no Parquet, or the column is not one of text.
    """
    table, arrow = _open(piece)
    with table:
        groups = [i for i in range(table.num_row_groups) if piece.begin <= _begin(table, i) < piece.end]
        if not groups:
            return
        columns = _columns(table.schema_arrow, field, piece, arrow)
        # For the checksum; the pages are then in the cache for pyarrow.
        for chunk in read_range(piece.file.path, *row_group_extent(piece)):
            on_bytes(chunk)
        rows = _rows_per_batch(table, groups, block_bytes)
        for batch in table.iter_batches(batch_size=rows, row_groups=groups, columns=columns):
            yield _batch(batch, field, piece, arrow)


def row_group_extent(piece: Piece) -> tuple[int, int]:
    """The bytes of the row groups that begin in a piece, and of the footer after the last one."""
    table, _ = _open(piece)
    with table:
        begins = [_begin(table, i) for i in range(table.num_row_groups)]
    mine = [begin for begin in begins if piece.begin <= begin < piece.end]
    after = [begin for begin in begins if begin >= piece.end]
    return (min(mine), min(after, default=piece.file.bytes)) if mine else (piece.end, piece.end)


def _open(piece: Piece) -> tuple[Any, Any]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise InputError(
            f"{piece.file.path} is Parquet, and the package pyarrow is not installed: "
            f"pip install 'megatron-heph[tokenize]'."
        ) from error
    try:
        return parquet.ParquetFile(piece.file.path), arrow
    except arrow.ArrowInvalid as error:
        raise InputError(f"{piece.file.path} is damaged, or is not Parquet: {error}") from error


def _begin(table: Any, group: int) -> int:
    row_group = table.metadata.row_group(group)
    columns = (row_group.column(i) for i in range(row_group.num_columns))
    return min(column.dictionary_page_offset or column.data_page_offset for column in columns)


def _columns(schema: Any, field: str, piece: Piece, arrow: Any) -> list[str]:
    if field not in schema.names:
        raise InputError(
            f"{piece.file.path} has no column {field!r}: its columns are {', '.join(schema.names[:12])}. "
            f"Use --field; {nearest(field, schema.names)}"
        )
    kind = schema.field(field).type
    if arrow.types.is_dictionary(kind):
        kind = kind.value_type
    if not any(is_kind(kind) for is_kind in _text_kinds(arrow)):
        raise InputError(f"{piece.file.path}: the column {field!r} holds {kind}, and a text is a string. Use --field.")
    labels = [name for name in _LABELS if name in schema.names and name != field]
    return [field, *labels]


def _text_kinds(arrow: Any) -> tuple[Any, ...]:
    names = ("is_string", "is_large_string", "is_string_view")
    return tuple(getattr(arrow.types, name) for name in names if hasattr(arrow.types, name))


def _rows_per_batch(table: Any, groups: list[int], block_bytes: int) -> int:
    """Rows of about `block_bytes`, by the uncompressed size of all columns."""
    picked = [table.metadata.row_group(i) for i in groups]
    rows, size = (sum(getattr(group, name) for group in picked) for name in ("num_rows", "total_byte_size"))
    return max(1, min(rows, block_bytes * rows // max(size, 1)))


def _batch(batch: Any, field: str, piece: Piece, arrow: Any) -> Batch:
    column = batch.column(batch.schema.get_field_index(field)).cast(arrow.large_string())
    if column.null_count:
        column = column.fill_null("")
    _, offsets, data = column.buffers()
    edges = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    content = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    texts = Texts(content[edges[0] : edges[-1]], edges - edges[0])
    try:
        column.validate(full=True)      # Parquet's writers may have put any bytes into a string
    except arrow.ArrowInvalid as error:
        raise InputError(f"{piece.file.path}: the column {field!r} is not UTF-8 ({error}). Write it anew.") from error
    lengths = arrow.compute.utf8_length(column)
    none = np.empty(0, np.int64)
    labels = {name: _codes(batch, name, field, arrow) for name in _LABELS}
    return Batch(
        texts=texts,
        characters=np.asarray(lengths, np.int64),
        licenses=labels["license"],
        domains=labels["domain"],
        sources=labels["source"],
        segments=Segments(none, none, np.empty(0, np.bool_)),
        bad=[],
    )


def _codes(batch: Any, name: str, field: str, arrow: Any) -> Codes:
    at = batch.schema.get_field_index(name)
    if at < 0 or name == field:
        return [], np.full(batch.num_rows, -1, np.int32)
    encoded = batch.column(at).cast(arrow.string()).dictionary_encode()
    codes: npt.NDArray[np.int32] = np.asarray(encoded.indices.fill_null(-1), np.int32)
    names = encoded.dictionary.to_pylist()
    empty = [i for i, value in enumerate(names) if not value]
    return names, np.where(np.isin(codes, empty), np.int32(-1), codes)
