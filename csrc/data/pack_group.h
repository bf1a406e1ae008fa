// Blocks that are neighbours in an epoch's order, each packed alone, with their windows in one order drawn anew.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "packing.h"
#include "permutation.h"

namespace heph {

// Windows that follow each other in the order of samples come from blocks far apart in the source: were a block's
// windows to stand one after the other, most of a batch would be neighbouring documents.  A group's blocks are packed
// when somebody first asks for them, each once.  Thread-safe.
class PackGroup {
public:
    static constexpr std::uint64_t kBlocks = 16;  // of a group; the last one of an epoch may have fewer

    // Of the windows of the group: which block of it, and which window of that.
    struct Place {
        std::size_t block = 0;
        std::uint32_t window = 0;
    };

    // `counts`: how many windows each block has.
    PackGroup(const std::vector<std::uint64_t>& counts, RoundKeys keys);
    // Blocks that are packed already.
    PackGroup(std::vector<Windows> packed, RoundKeys keys);

    // Windows of all blocks; there may be none.
    std::uint64_t size() const { return begins_.back(); }
    // Which window is the `number`th in order, of size(); and its inverse.
    Place place(std::uint64_t number) const;
    std::uint64_t number(const Place& place) const;

    // The windows of a block, by make() if they are not there; what that throws leaves them missing.
    template <typename Make>
    const Windows& packed(std::size_t block, Make make) {
        Block& asked = blocks_[block];
        const std::lock_guard<std::mutex> locked(asked.mutex);  // who needs the same block waits for it
        if (!asked.packed) asked.packed = make();
        return *asked.packed;
    }

private:
    struct Block {
        std::mutex mutex;
        std::optional<Windows> packed;
    };

    void sum(const std::vector<std::uint64_t>& counts);

    std::array<Block, kBlocks> blocks_;
    std::vector<std::uint64_t> begins_ = {0};  // windows before each block, and of all
    std::optional<Permutation> permutation_;   // absent if there are none
    RoundKeys keys_;
};

}  // namespace heph
