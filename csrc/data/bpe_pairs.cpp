#include "bpe_pairs.h"

#include <utility>

namespace heph {

PairTable::PairTable(std::size_t pairs) {
    unsigned bits = kLeastBits;
    while (bits < kPairBits && (std::size_t{1} << bits) * 2 < pairs * 3) ++bits;
    entries_ = HugeArray<Entry>(std::size_t{1} << bits);
    mask_ = (std::size_t{1} << bits) - 1;
    rest_bits_ = kPairBits - bits;
}

void PairTable::put(TokenId left, TokenId right, Rank rank) {
    const std::uint64_t hash = permute(left, right);
    std::uint32_t tag = tag_of(hash);
    for (std::size_t at = hash >> rest_bits_; (tag & kMostDistance) != 0; at = (at + 1) & mask_, ++tag) {
        if (entries_[at].tag == tag) {
            entries_[at].rank = rank;
            return;
        }
        if (entries_[at].tag != 0) continue;
        if (count_ * 3 > mask_ * 2) break;
        entries_[at] = {tag, rank};
        ++count_;
        return;
    }
    grow();
    put(left, right, rank);
}

// Twice the slots: the pairs are read back out of their slots by undoing the permutation.
void PairTable::grow() {
    PairTable larger(0);
    const unsigned bits = kPairBits - rest_bits_ + 1;
    larger.entries_ = HugeArray<Entry>(std::size_t{1} << bits);
    larger.mask_ = (std::size_t{1} << bits) - 1;
    larger.rest_bits_ = kPairBits - bits;
    for (std::size_t at = 0; at <= mask_; ++at) {
        const Entry entry = entries_[at];
        if (entry.tag == 0) continue;
        const std::uint64_t home = (at - ((entry.tag & kMostDistance) - 1)) & mask_;
        const std::uint64_t pair = undo(home << rest_bits_ | entry.tag >> kDistanceBits);
        larger.put(static_cast<TokenId>(pair >> kIdBits), static_cast<TokenId>(pair & (kMostTokens - 1)), entry.rank);
    }
    *this = std::move(larger);
}

}  // namespace heph
