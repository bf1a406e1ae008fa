#include "block_order.h"

#include <algorithm>

namespace heph {

BlockOrder::BlockOrder(std::uint64_t blocks) {
    while (extent_ < kExtent && blocks / (2 * extent_) >= kLeastExtents) extent_ *= 2;
    extents_ = blocks / extent_;
    if (extents_ > 0) permutation_.emplace(extents_);
}

std::uint64_t BlockOrder::lanes(std::uint64_t group) const { return std::min(kLanes, extents_ - group * kLanes); }

std::uint64_t BlockOrder::block_at(std::uint64_t turn, const RoundKeys& keys) const {
    if (turn >= extents_ * extent_) return turn;
    const std::uint64_t size = kLanes * extent_, group = turn / size, within = turn - group * size;
    const std::uint64_t side_by_side = lanes(group), stripe = within / side_by_side;
    const std::uint64_t lane = within - stripe * side_by_side;
    return permutation_->forward(group * kLanes + lane, keys) * extent_ + stripe;
}

std::uint64_t BlockOrder::turn_of(std::uint64_t block, const RoundKeys& keys) const {
    if (block >= extents_ * extent_) return block;
    const std::uint64_t place = permutation_->inverse(block / extent_, keys);
    const std::uint64_t group = place / kLanes, lane = place - group * kLanes, stripe = block % extent_;
    return group * kLanes * extent_ + stripe * lanes(group) + lane;
}

}  // namespace heph
