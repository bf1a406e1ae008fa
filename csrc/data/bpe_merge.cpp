#include "bpe_merge.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <stdexcept>

namespace heph {

namespace {

// Up to it a scan over all pairs is faster than a heap, and its square is still small.
constexpr std::size_t kShort = 64;

}  // namespace

std::size_t Merger::merge(const std::uint8_t* bytes, std::size_t size, TokenId* ids) {
    return size <= kShort ? merge_short(bytes, size, ids) : merge_long(bytes, size, ids);
}

std::size_t Merger::merge_short(const std::uint8_t* bytes, std::size_t size, TokenId* ids) {
    Rank ranks[kShort];  // of part i with part i + 1
    std::size_t last = size - 1;
    ids[0] = vocabulary_.byte_id(bytes[0]);
    for (std::size_t i = 0; i < last; ++i) {
        ids[i + 1] = vocabulary_.byte_id(bytes[i + 1]);
        ranks[i] = vocabulary_.rank_of_bytes(bytes[i], bytes[i + 1]);
    }
    while (last > 0) {
        std::size_t best = 0;
        Rank lowest = ranks[0];
        for (std::size_t i = 1; i < last; ++i) {
            best = ranks[i] < lowest ? i : best;
            lowest = ranks[i] < lowest ? ranks[i] : lowest;
        }
        if (lowest == kNoRank) break;
        --last;
        ids[best] = vocabulary_.merged(lowest);
        for (std::size_t i = best + 1; i <= last; ++i) ids[i] = ids[i + 1];
        for (std::size_t i = best + 1; i < last; ++i) ranks[i] = ranks[i + 1];
        if (best < last) ranks[best] = vocabulary_.rank_of(ids[best], ids[best + 1]);
        if (best > 0) ranks[best - 1] = vocabulary_.rank_of(ids[best - 1], ids[best]);
    }
    return last + 1;
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
