// Fills the arrays of a batch from pieces of sources.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "read_ahead.h"
#include "source_order.h"
#include "token_reader.h"

namespace heph {

// Arrays of rows x columns, C-contiguous, that somebody else owns; Id is std::uint16_t or std::int32_t.
template <typename Id>
struct BatchArrays {
    Id* tokens = nullptr;
    Id* labels = nullptr;
    bool* loss = nullptr;
    std::int64_t rows = 0;
    std::int64_t columns = 0;
};

// How a row is made of pieces.
enum class Layout {
    separate,  // a piece's labels are its own tokens, one further: it reads count + 1
    joined,    // pieces cover columns + 1 tokens of a row, and labels are the row's tokens, one further
};

// Thread-safe.
class BatchReader {
public:
    // apart[i]: documents of source i attend to themselves alone.  Ids must be below `vocab`; 0 if that is not known.
    // Without `ahead` pieces are read one after the other, also where they are not in the page cache.
    BatchReader(std::vector<std::shared_ptr<const TokenReader>> readers, std::vector<bool> apart, std::uint64_t vocab,
                std::shared_ptr<ReadAhead> ahead);

    // Fills every element of the arrays, and returns the edges of segments: strictly ascending from 0 to rows * columns
    // (megatron_heph/data/batch.py).  `pieces` are sorted by row and column and do not overlap; what they leave is
    // padding.  Throws std::invalid_argument for pieces that do not fit, before anything is written, and what
    // TokenReader throws.
    template <typename Id>
    std::vector<std::int32_t> read(const Piece* pieces, std::size_t count, const BatchArrays<Id>& arrays,
                                   Layout layout) const;

    // A hint: the extents in which these pieces begin will be read soon; extents[i] is how many tokens one of source i
    // has, or 0: only the pieces themselves.  Returns at once.
    void want(const Piece* pieces, std::size_t count, const std::vector<std::int64_t>& extents) const;

    const std::vector<std::shared_ptr<const TokenReader>>& readers() const { return readers_; }

private:
    template <typename Id>
    void check(const Piece* pieces, std::size_t count, const BatchArrays<Id>& arrays, Layout layout) const;
    template <typename Id>
    void fill(const Piece& piece, const BatchArrays<Id>& arrays, Layout layout, Wait wait, std::vector<Id>& ids,
              std::vector<std::int32_t>& edges) const;
    template <typename Id>
    void fill_cold(const std::vector<Piece>& pieces, const BatchArrays<Id>& arrays, Layout layout,
                   std::vector<std::int32_t>& edges) const;
    // Of a piece the edges between its documents; labels across them lose their loss.
    template <typename Id>
    void part_documents(const Piece& piece, std::uint64_t ids, const BatchArrays<Id>& arrays, Layout layout, Wait wait,
                        std::vector<std::int32_t>& edges) const;

    std::vector<std::shared_ptr<const TokenReader>> readers_;
    std::vector<bool> apart_;
    std::uint64_t vocab_;
    std::shared_ptr<ReadAhead> ahead_;
};

}  // namespace heph
