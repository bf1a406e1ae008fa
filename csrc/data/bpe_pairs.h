// Which pairs of neighbours merge, in eight bytes each.
#pragma once

#include <cstddef>
#include <cstdint>

#include "huge_array.h"

namespace heph {

using TokenId = std::uint32_t;
constexpr unsigned kIdBits = 22;
constexpr TokenId kMostTokens = TokenId{1} << kIdBits;  // an id is below it

using Rank = std::uint32_t;  // the lower merges first
constexpr Rank kNoRank = 0xFFFFFFFF;

// A hash table from pairs of ids to ranks.  The hash of a pair is a permutation of its 44 bits: some of them
// choose the slot, and the slot holds the rest of them with the distance from the slot that was meant, so that
// the pair itself need not be stored, and equal still means equal.
class PairTable {
public:
    explicit PairTable(std::size_t pairs = 0);
    void put(TokenId left, TokenId right, Rank rank);  // a later rank overrules an earlier one

    Rank find(TokenId left, TokenId right) const {
        const std::uint64_t hash = permute(left, right);
        std::uint32_t tag = tag_of(hash);
        for (std::size_t at = hash >> rest_bits_;; at = (at + 1) & mask_) {
            const Entry entry = entries_[at];
            if (entry.tag == tag) return entry.rank;
            if (entry.tag == 0 || (++tag & kMostDistance) == 0) return kNoRank;
        }
    }

private:
    struct Entry {
        std::uint32_t tag;  // rest << 7 | distance + 1, or 0: free
        Rank rank;
    };
    static constexpr unsigned kPairBits = 2 * kIdBits;
    static constexpr unsigned kDistanceBits = 7;
    static constexpr std::uint32_t kMostDistance = (1 << kDistanceBits) - 1;
    static constexpr unsigned kLeastBits = kPairBits - (32 - kDistanceBits);  // of the slot: the rest fits the tag

    // Each step can be undone: multiplying by an odd number, and xor with the upper half.
    static std::uint64_t permute(TokenId left, TokenId right) {
        constexpr std::uint64_t kMask = (std::uint64_t{1} << kPairBits) - 1;
        std::uint64_t value = ((std::uint64_t{left} << kIdBits | right) * 0x9E3779B97F4A7C15) & kMask;
        value ^= value >> kIdBits;
        return (value * 0xD1B54A32D192ED03) & kMask;
    }
    static std::uint64_t undo(std::uint64_t hash) {
        constexpr std::uint64_t kMask = (std::uint64_t{1} << kPairBits) - 1;
        std::uint64_t value = (hash * 0xCCFA448E5AB) & kMask;  // the inverses modulo 2^44
        value ^= value >> kIdBits;
        return (value * 0x3E19937733D) & kMask;
    }
    std::uint32_t tag_of(std::uint64_t hash) const {
        const std::uint64_t rest = hash & ((std::uint64_t{1} << rest_bits_) - 1);
        return static_cast<std::uint32_t>(rest << kDistanceBits | 1);
    }
    void grow();

    HugeArray<Entry> entries_;
    std::size_t mask_ = 0;
    unsigned rest_bits_ = kPairBits;
    std::size_t count_ = 0;
};

}  // namespace heph
