// The samples of a source that is read as one stream of tokens, without regard to documents.
#pragma once

#include <cstdint>
#include <vector>

#include "block_order.h"
#include "permutation.h"
#include "source_order.h"

namespace heph {

// A source of T tokens has the input positions 0 .. T-2: each has the next token as its label.  An epoch is all of
// them: whole blocks of `block` positions in the epoch's order (block_order.h), and then what is left of the
// stream.  Epoch follows epoch, so that the source is an endless permuted stream of positions, and sample k is its
// positions [begin + k length, begin + (k + 1) length).  Nothing is skipped and nothing comes twice in an epoch,
// whatever lengths were read before `begin`.
class StreamOrder final : public SourceOrder {
public:
    // begin: positions taken since the run began.  Throws std::invalid_argument for fewer than 2 tokens, a block or a
    // length below 1, or a negative begin.
    StreamOrder(std::int64_t tokens, std::int64_t block, OrderKey key, std::int64_t begin, std::int64_t length);

    void pieces(std::uint64_t number, std::vector<Piece>& out) const override;

    // Positions that lie together and are read soon after each other.
    std::int64_t extent() const { return static_cast<std::int64_t>(order_.extent() * block_); }
    // At which turn of an epoch a whole block stands.
    std::uint64_t turn_of(std::uint64_t block, std::uint64_t epoch) const {
        return order_.turn_of(block, round_keys(key_, epoch));
    }

private:
    // A run of consecutive positions of the source.
    struct Run {
        std::uint64_t start, count;
    };
    Run run_at(std::uint64_t within, const RoundKeys& keys) const;

    std::uint64_t epoch_, block_, begin_, length_;
    std::uint64_t blocks_;  // whole ones
    BlockOrder order_;
    OrderKey key_;
};

}  // namespace heph
