// The order of a source's whole blocks in an epoch: mixed finely, read in large pieces.
#pragma once

#include <cstdint>
#include <optional>

#include "permutation.h"

namespace heph {

// Extents of up to 8 neighbouring blocks stand in the order of a keyed permutation, and 256 of them take turns, a block
// each: so blocks that follow each other come from all over the source, and yet what lies together on a disk is read
// within some thousand blocks.  A source of fewer than 2,048 blocks has extents of one block: it is permuted block
// by block.  What is left of the blocks, less than an extent, comes last.
class BlockOrder {
public:
    static constexpr std::uint64_t kLanes = 256;
    static constexpr std::uint64_t kExtent = 8;         // blocks, at most
    static constexpr std::uint64_t kLeastExtents = 1024;

    explicit BlockOrder(std::uint64_t blocks);

    std::uint64_t extent() const { return extent_; }    // blocks

    // Which block stands at a turn, and at which turn a block; both are below `blocks`.
    std::uint64_t block_at(std::uint64_t turn, const RoundKeys& keys) const;
    std::uint64_t turn_of(std::uint64_t block, const RoundKeys& keys) const;

private:
    // How many extents take turns in a group: the last one may have fewer.
    std::uint64_t lanes(std::uint64_t group) const;

    std::uint64_t extent_ = 1, extents_;
    std::optional<Permutation> permutation_;            // absent if there is no extent
};

}  // namespace heph
