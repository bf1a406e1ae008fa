// How many windows each block of a source has: what turns the number of a sample into a block.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "packing.h"
#include "token_reader.h"

namespace heph {

// Blocks of `block` tokens that a stream of `tokens` has; the last one may be short.
// Throws std::invalid_argument unless 1 <= block <= 2^40.
std::uint64_t blocks_of(std::uint64_t tokens, std::int64_t block);

// Appends what there is to pack of blocks [first, first + count): of every document that starts in them all positions
// with a label of the same document, that is all tokens but the last.
void block_items(const TokenReader& reader, std::int64_t block, std::uint64_t first, std::uint64_t count,
                 std::vector<Run>& out);

// The windows of blocks [first, first + count) at a length; the documents are read once, in order.
// Throws std::invalid_argument for blocks beyond the stream, and as TokenReader does.
std::vector<std::uint32_t> count_windows(const TokenReader& reader, std::int64_t block, std::int64_t length,
                                         std::uint64_t first, std::uint64_t count);

// The counts of all blocks, in as few bytes each as the largest needs: they are looked up in the blocks' permuted
// order, and so have to be in memory (30 million blocks, a trillion tokens in blocks of 32,768: 30 MB).
class WindowCounts {
public:
    explicit WindowCounts(std::uint64_t blocks);

    // The counts of the blocks that come next.  Throws std::invalid_argument beyond the last one.
    void append(const std::uint32_t* counts, std::size_t size);

    std::uint64_t blocks() const { return blocks_; }
    std::uint64_t filled() const { return filled_; }  // blocks that have their counts
    std::uint64_t total() const { return total_; }
    std::uint32_t operator[](std::uint64_t block) const {
        if (width_ == 1) return load<std::uint8_t>(block);
        if (width_ == 2) return load<std::uint16_t>(block);
        return load<std::uint32_t>(block);
    }

private:
    template <typename Value>
    Value load(std::uint64_t block) const {
        Value value;
        std::memcpy(&value, &bytes_[block * sizeof(Value)], sizeof(Value));
        return value;
    }
    template <typename Value>
    void store(std::uint64_t block, std::uint32_t count) {
        const auto value = static_cast<Value>(count);
        std::memcpy(&bytes_[block * sizeof(Value)], &value, sizeof(Value));
    }
    void put(std::uint64_t block, std::uint32_t count);
    void widen(unsigned width);

    std::uint64_t blocks_;
    std::uint64_t filled_ = 0;
    std::uint64_t total_ = 0;
    unsigned width_ = 1;  // bytes of a count
    std::vector<std::uint8_t> bytes_;
};

}  // namespace heph
