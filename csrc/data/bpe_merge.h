// The merging itself: from bytes to tokens, the lowest rank first, the leftmost of equals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bpe_vocabulary.h"

namespace heph {

// Merges one pretoken after the other; one per thread.
class Merger {
public:
    explicit Merger(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

    // Writes the ids of `size` >= 1 bytes to `ids`, which has room for `size`; returns how many.
    std::size_t merge(const std::uint8_t* bytes, std::size_t size, TokenId* ids);

private:
    std::size_t merge_short(const std::uint8_t* bytes, std::size_t size, TokenId* ids);
    std::size_t merge_long(const std::uint8_t* bytes, std::size_t size, TokenId* ids);
    void offer(std::size_t left, std::size_t right);

    const Vocabulary& vocabulary_;
    // Of long pretokens: a list of parts, named by where they begin, and a heap of `rank << 32 | left part`.
    std::vector<TokenId> parts_;
    std::vector<std::uint32_t> next_;
    std::vector<std::uint32_t> before_;
    std::vector<Rank> ranks_;  // with the part's right neighbour
    std::vector<std::uint64_t> heap_;
};

}  // namespace heph
