// The samples of a segment of a run: the mixture's choice of source, and that source's own order.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "mixture.h"
#include "source_order.h"

namespace heph {

struct Samples {
    std::vector<Piece> pieces;          // by row and column
    std::vector<std::int64_t> sources;  // of each row

    // Room for rows of one piece, as most are.
    explicit Samples(std::uint64_t rows = 0) {
        pieces.reserve(rows);
        sources.reserve(rows);
    }
    // Sample `number` of a source becomes the next row.
    void append(const SourceOrder& order, std::int64_t source, std::uint64_t number);
};

class SampleOrder {
public:
    // One order per source of the mixture, null where the mixture never picks it; else std::invalid_argument.
    SampleOrder(Mixture mixture, std::vector<std::shared_ptr<SourceOrder>> orders);

    // Samples first, first + stride, first + 2 stride, ... of the segment, which become rows 0 .. count-1.
    // Thread-safe.
    Samples pieces(std::uint64_t first, std::uint64_t count, std::uint64_t stride) const;

private:
    Mixture mixture_;
    std::vector<std::shared_ptr<SourceOrder>> orders_;
};

}  // namespace heph
