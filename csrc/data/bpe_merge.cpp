#include "bpe_merge.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <stdexcept>

namespace heph {

namespace {

// Up to it a scan over all pairs is faster than a heap, and its square is still small.
constexpr std::size_t kShort = 64;
constexpr std::uint64_t kNoPair = std::uint64_t{kNoRank} << 6;  // and with any part

}  // namespace

std::size_t Merger::merge(const std::uint8_t* bytes, std::size_t size, TokenId* ids) {
    return size <= kShort ? merge_short(bytes, size, ids) : merge_long(bytes, size, ids);
}

// Parts stay where they begin; `alive` has a bit for each.  Pairs are kept as `rank << 6 | left part`, so that one
// minimum finds the lowest rank and the leftmost of equals.
std::size_t Merger::merge_short(const std::uint8_t* bytes, std::size_t size, TokenId* ids) {
    std::uint64_t pairs[kShort + 1];
    TokenId parts[kShort];
    const auto pair_of = [&](unsigned left, unsigned right) {
        const Rank rank = vocabulary_.rank_of(parts[left], parts[right]);
        if (rank != kNoRank) vocabulary_.prefetch_merged(rank);
        return std::uint64_t{rank} << 6 | left;
    };
    for (unsigned i = 0; i < size; ++i) parts[i] = vocabulary_.byte_id(bytes[i]);
    for (unsigned i = 0; i + 1 < size; ++i) {
        pairs[i] = std::uint64_t{vocabulary_.rank_of_bytes(bytes[i], bytes[i + 1])} << 6 | i;
    }
    const unsigned end = static_cast<unsigned>(size - 1) | 1;  // an odd number of pairs: two by two, from the second
    if (end != size - 1 || size == 1) pairs[end - 1] = kNoPair;
    std::uint64_t alive = ~std::uint64_t{0} >> (64 - size);
    for (;;) {
        std::uint64_t lowest = pairs[0];
        std::uint64_t second = kNoPair;
        for (unsigned i = 1; i < end; i += 2) {
            lowest = std::min(lowest, pairs[i]);
            second = std::min(second, pairs[i + 1]);
        }
        lowest = std::min(lowest, second);
        if (lowest >= kNoPair) break;
        const auto left = static_cast<unsigned>(lowest & 63);
        const std::uint64_t behind = alive & (~std::uint64_t{1} << left);
        const auto right = static_cast<unsigned>(__builtin_ctzll(behind));
        const std::uint64_t rest = behind & (behind - 1);  // the parts behind both
        parts[left] = vocabulary_.merged(static_cast<Rank>(lowest >> 6));
        alive &= ~(std::uint64_t{1} << right);
        pairs[right] = kNoPair;
        pairs[left] = rest != 0 ? pair_of(left, static_cast<unsigned>(__builtin_ctzll(rest))) : kNoPair;
        const std::uint64_t before = alive & ((std::uint64_t{1} << left) - 1);
        if (before != 0) {
            const auto previous = 63 - static_cast<unsigned>(__builtin_clzll(before));
            pairs[previous] = pair_of(previous, left);
        }
    }
    std::size_t count = 0;
    for (; alive != 0; alive &= alive - 1) ids[count++] = parts[__builtin_ctzll(alive)];
    return count;
}

// Looks at the pair of `left` and the part behind it.
void Merger::offer(std::size_t left, std::size_t right) {
    ranks_[left] = right < parts_.size() ? vocabulary_.rank_of(parts_[left], parts_[right]) : kNoRank;
    if (ranks_[left] == kNoRank) return;
    heap_.push_back(std::uint64_t{ranks_[left]} << 32 | left);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

std::size_t Merger::merge_long(const std::uint8_t* bytes, std::size_t size, TokenId* ids) {
    constexpr auto kNone = std::numeric_limits<std::uint32_t>::max();
    if (size >= kNone) throw std::length_error("a word of 4 GiB");
    parts_.resize(size);
    next_.resize(size);
    before_.resize(size);
    ranks_.resize(size);
    heap_.clear();
    for (std::size_t i = 0; i < size; ++i) {
        parts_[i] = vocabulary_.byte_id(bytes[i]);
        next_[i] = static_cast<std::uint32_t>(i + 1);
        before_[i] = i > 0 ? static_cast<std::uint32_t>(i - 1) : kNone;
        ranks_[i] = i + 1 < size ? vocabulary_.rank_of_bytes(bytes[i], bytes[i + 1]) : kNoRank;
        if (ranks_[i] != kNoRank) heap_.push_back(std::uint64_t{ranks_[i]} << 32 | i);
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
    while (!heap_.empty()) {
        const std::uint64_t top = heap_.front();
        std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
        heap_.pop_back();
        const std::size_t left = top & 0xFFFFFFFF;
        if (ranks_[left] != top >> 32) continue;  // that pair is gone
        const std::size_t right = next_[left];
        parts_[left] = vocabulary_.merged(ranks_[left]);
        ranks_[right] = kNoRank;
        next_[left] = next_[right];
        if (next_[left] < size) before_[next_[left]] = static_cast<std::uint32_t>(left);
        offer(left, next_[left]);
        if (before_[left] != kNone) offer(before_[left], left);
    }
    std::size_t count = 0;
    for (std::size_t at = 0; at < size; at = next_[at]) ids[count++] = parts_[at];
    return count;
}

}  // namespace heph
