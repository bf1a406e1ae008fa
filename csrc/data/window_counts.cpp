#include "window_counts.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace heph {

namespace {

// Tokens whose documents are read at a time: some thousand documents.
constexpr std::uint64_t kTokensAtOnce = std::uint64_t{1} << 22;

constexpr std::int64_t kLongestBlock = std::int64_t{1} << 40;

unsigned width_of(std::uint32_t count) { return count < 1u << 8 ? 1 : count < 1u << 16 ? 2 : 4; }

}  // namespace

std::uint64_t blocks_of(std::uint64_t tokens, std::int64_t block) {
    if (block < 1 || block > kLongestBlock) {
        throw std::invalid_argument("a block of " + std::to_string(block) + " tokens; it has from 1 to " +
                                    std::to_string(kLongestBlock));
    }
    const auto size = static_cast<std::uint64_t>(block);
    return tokens / size + (tokens % size != 0);
}

void block_items(const TokenReader& reader, std::int64_t block, std::uint64_t first, std::uint64_t count,
                 std::vector<Run>& out) {
    const auto size = static_cast<std::uint64_t>(block);
    const std::uint64_t begin = first * size, end = std::min((first + count) * size, reader.total_tokens());
    std::vector<Document> documents;
    reader.documents(begin, end - begin, documents);
    for (const Document& document : documents) {
        if (document.length > 1) out.push_back({document.start, document.length - 1});
    }
}

std::vector<std::uint32_t> count_windows(const TokenReader& reader, std::int64_t block, std::int64_t length,
                                         std::uint64_t first, std::uint64_t count) {
    const std::uint64_t blocks = blocks_of(reader.total_tokens(), block);
    if (first > blocks || count > blocks - first) {
        throw std::invalid_argument("windows of " + std::to_string(count) + " blocks from block " +
                                    std::to_string(first) + " on, of " + std::to_string(blocks));
    }
    Packer packer(length);
    const auto size = static_cast<std::uint64_t>(block);
    const std::uint64_t at_once = std::max<std::uint64_t>(1, kTokensAtOnce / size);
    std::vector<std::uint32_t> counts;
    counts.reserve(count);
    std::vector<Run> items, own;
    for (std::uint64_t done = 0; done < count; done += at_once) {
        const std::uint64_t now = std::min(at_once, count - done);
        items.clear();
        block_items(reader, block, first + done, now, items);
        auto item = items.begin();
        for (std::uint64_t i = 0; i < now; ++i) {
            const auto end = static_cast<std::int64_t>((first + done + i + 1) * size);
            own.clear();
            for (; item != items.end() && item->start < end; ++item) own.push_back(*item);
            counts.push_back(packer.count(own));
        }
    }
    return counts;
}

WindowCounts::WindowCounts(std::uint64_t blocks) : blocks_(blocks), bytes_(blocks, 0) {}

void WindowCounts::append(const std::uint32_t* counts, std::size_t size) {
    if (size > blocks_ - filled_) {
        throw std::invalid_argument("counts of " + std::to_string(filled_ + size) + " blocks; there are " +
                                    std::to_string(blocks_));
    }
    if (size == 0) return;
    const unsigned width = width_of(*std::max_element(counts, counts + size));
    if (width > width_) widen(width);
    for (std::size_t i = 0; i < size; ++i) {
        put(filled_ + i, counts[i]);
        total_ += counts[i];
    }
    filled_ += size;
}

void WindowCounts::put(std::uint64_t block, std::uint32_t count) {
    if (width_ == 1) store<std::uint8_t>(block, count);
    else if (width_ == 2) store<std::uint16_t>(block, count);
    else store<std::uint32_t>(block, count);
}

void WindowCounts::widen(unsigned width) {
    WindowCounts wide(0);
    wide.width_ = width;
    wide.bytes_.resize(blocks_ * width);
    for (std::uint64_t i = 0; i < filled_; ++i) wide.put(i, (*this)[i]);
    bytes_ = std::move(wide.bytes_);
    width_ = width;
}

}  // namespace heph
