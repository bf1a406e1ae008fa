#include "stream_order.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace heph {

namespace {

std::uint64_t whole_blocks(std::int64_t tokens, std::int64_t block, std::int64_t begin, std::int64_t length) {
    if (tokens < 2) {
        throw std::invalid_argument("a source of " + std::to_string(tokens) + " tokens; its first sample needs 2");
    }
    if (block < 1 || length < 1 || begin < 0) {
        throw std::invalid_argument("a block of " + std::to_string(block) + " tokens, samples of " +
                                    std::to_string(length) + " from position " + std::to_string(begin));
    }
    return static_cast<std::uint64_t>((tokens - 1) / block);
}

}  // namespace

StreamOrder::StreamOrder(std::int64_t tokens, std::int64_t block, OrderKey key, std::int64_t begin,
                         std::int64_t length)
    : blocks_(whole_blocks(tokens, block, begin, length)), order_(blocks_), key_(key) {
    epoch_ = static_cast<std::uint64_t>(tokens) - 1;
    block_ = static_cast<std::uint64_t>(block);
    begin_ = static_cast<std::uint64_t>(begin);
    length_ = static_cast<std::uint64_t>(length);
}

// What stands at position `within` of an epoch, to the end of its block.
StreamOrder::Run StreamOrder::run_at(std::uint64_t within, const RoundKeys& keys) const {
    const std::uint64_t slot = within / block_;
    const std::uint64_t offset = within - slot * block_;
    if (slot == blocks_) return {within, epoch_ - within};  // the tail stands where it is
    return {order_.block_at(slot, keys) * block_ + offset, block_ - offset};
}

void StreamOrder::pieces(std::uint64_t number, std::vector<Piece>& out) const {
    const std::uint64_t position = begin_ + number * length_;
    std::uint64_t epoch = position / epoch_;
    std::uint64_t within = position - epoch * epoch_;
    RoundKeys keys = round_keys(key_, epoch);
    const std::size_t first = out.size();
    for (std::uint64_t column = 0; column < length_;) {
        const Run run = run_at(within, keys);
        const std::uint64_t count = std::min(run.count, length_ - column);
        append_piece(out, first, column, run.start, count);
        column += count;
        within += count;
        if (within == epoch_) {
            within = 0;
            keys = round_keys(key_, ++epoch);
        }
    }
}

}  // namespace heph
