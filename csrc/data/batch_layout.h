// Where the pieces of a row go, and what is left between them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "batch_reader.h"
#include "source_order.h"

namespace heph {

// The ids that a piece reads, and which of them are tokens and labels of which columns.
struct PieceParts {
    PieceParts(const Piece& piece, std::int64_t columns, Layout layout)
        : ids(static_cast<std::uint64_t>(piece.count + (layout == Layout::separate))),
          tokens(std::min(piece.count, columns - piece.column)),
          first_label(layout == Layout::separate || piece.column == 0),
          label_column(piece.column - (layout == Layout::joined && piece.column > 0)),
          labels(ids - first_label) {}

    std::uint64_t ids;
    std::int64_t tokens;         // the first ones; to the piece's column
    std::uint64_t first_label;   // which id the first label is
    std::int64_t label_column;   // where that one goes
    std::uint64_t labels;
};

// Refuses pieces that would be written outside of a batch of rows x width, or over each other.
class PlaceChecker {
public:
    PlaceChecker(std::int64_t rows, std::int64_t width) : rows_(rows), width_(width) {}

    void check(std::size_t index, const Piece& piece, const Piece* before) const {
        const bool inside = piece.row >= 0 && piece.row < rows_ && piece.column >= 0 && piece.column < width_ &&
                            piece.count >= 1 && piece.count <= width_ - piece.column;
        if (!inside) {
            fail(index, piece, "a row of " + std::to_string(width_) + " columns, of " + std::to_string(rows_) +
                                   " rows, does not hold it");
        }
        if (before == nullptr || piece.row > before->row) return;
        if (piece.row < before->row || piece.column < before->column + before->count) {
            fail(index, piece, "it does not begin behind the piece before (row " + std::to_string(before->row) +
                                   ", columns " + std::to_string(before->column) + " to " +
                                   std::to_string(before->column + before->count) + ")");
        }
    }

    [[noreturn]] void fail(std::size_t index, const Piece& piece, const std::string& problem) const {
        throw std::invalid_argument("piece " + std::to_string(index) + " (row " + std::to_string(piece.row) +
                                    ", column " + std::to_string(piece.column) + ", source " +
                                    std::to_string(piece.source) + ", tokens from " + std::to_string(piece.start) +
                                    " on, " + std::to_string(piece.count) + " positions): " + problem);
    }

private:
    std::int64_t rows_, width_;
};

// Makes columns [begin, end) of a row a segment of padding; `end` may be one beyond the row where rows are joined.
template <typename Id>
void pad_gap(std::int64_t row, std::int64_t begin, std::int64_t end, const BatchArrays<Id>& arrays, Layout layout,
             std::vector<std::int32_t>& edges) {
    if (begin == end) return;
    const std::int64_t at = row * arrays.columns, stop = std::min(end, arrays.columns);
    // of a joined row the label of the column before is a token of the gap
    const std::int64_t first_label = layout == Layout::joined && begin > 0 ? begin - 1 : begin;
    std::fill(arrays.labels + at + first_label, arrays.labels + at + stop, Id{0});
    std::fill(arrays.loss + at + first_label, arrays.loss + at + stop, false);
    if (begin >= stop) return;
    std::fill(arrays.tokens + at + begin, arrays.tokens + at + stop, Id{0});
    edges.push_back(static_cast<std::int32_t>(at + begin));
    edges.push_back(static_cast<std::int32_t>(at + stop));
}

// Makes everything that no piece covers padding.
template <typename Id>
void pad(const Piece* pieces, std::size_t count, const BatchArrays<Id>& arrays, Layout layout,
         std::vector<std::int32_t>& edges) {
    const std::int64_t width = arrays.columns + (layout == Layout::joined);
    std::size_t i = 0;
    for (std::int64_t row = 0; row < arrays.rows; ++row) {
        std::int64_t column = 0;
        for (; i < count && pieces[i].row == row; ++i) {
            pad_gap(row, column, pieces[i].column, arrays, layout, edges);
            column = pieces[i].column + pieces[i].count;
        }
        pad_gap(row, column, width, arrays, layout, edges);
    }
}

// Adds the rows' starts and the end; sorts, and leaves every edge once.
inline void finish_edges(std::int64_t rows, std::int64_t columns, std::vector<std::int32_t>& edges) {
    for (std::int64_t row = 0; row <= rows; ++row) edges.push_back(static_cast<std::int32_t>(row * columns));
    std::sort(edges.begin(), edges.end());
    edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
}

}  // namespace heph
