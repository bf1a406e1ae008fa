// Where the positions of samples come from: pieces of sources, computed and never stored.
#pragma once

#include <cstdint>
#include <vector>

namespace heph {

// `count` consecutive tokens of a source's stream, at [start, start + count), are the inputs of a sample's positions
// [column, column + count).  Labels are the tokens one further, so that start + count is read too.
// Five int64 in this order, so that an array of pieces is a matrix for numpy.
struct Piece {
    std::int64_t row = 0;      // the sample's place in the batch
    std::int64_t column = 0;
    std::int64_t source = 0;
    std::int64_t start = 0;
    std::int64_t count = 0;
};
static_assert(sizeof(Piece) == 40);

// Appends a piece of a sample that begins at out[first], or lengthens the last one where the tokens go on from it.
inline void append_piece(std::vector<Piece>& out, std::size_t first, std::uint64_t column, std::uint64_t start,
                         std::uint64_t count) {
    const auto from = static_cast<std::int64_t>(start), taken = static_cast<std::int64_t>(count);
    if (out.size() > first && out.back().start + out.back().count == from) out.back().count += taken;
    else out.push_back({0, static_cast<std::int64_t>(column), 0, from, taken});
}

// The endless sequence of a source's samples, from the place where a segment of the run began.
class SourceOrder {
public:
    virtual ~SourceOrder() = default;

    // Appends the pieces of sample `number` (from 0, counted from the beginning of the segment) in the order of
    // their columns.  Every piece has at least one position; row and source are left 0.  Thread-safe.
    virtual void pieces(std::uint64_t number, std::vector<Piece>& out) const = 0;
};

}  // namespace heph
