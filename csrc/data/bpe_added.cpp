#include "bpe_added.h"

#include <cstring>
#include <stdexcept>

namespace heph {

void AddedTokenSet::add(std::string_view bytes, TokenId id, bool skipped) {
    if (bytes.empty()) throw std::invalid_argument("an added token is empty");
    const auto start = static_cast<std::uint8_t>(bytes[0]);
    only_start_ = nodes_.size() == 1 || only_start_ == start ? start : -1;
    starts_[start] = true;
    std::uint32_t node = 0;
    for (const char letter : bytes) {
        const std::uint64_t key = std::uint64_t{node} << 8 | static_cast<std::uint8_t>(letter);
        const auto [at, added] = children_.emplace(key, static_cast<std::uint32_t>(nodes_.size()));
        if (added) nodes_.emplace_back();
        node = at->second;
    }
    nodes_[node] = {id, skipped};
    useful_ |= !skipped;
}

// The first byte in [begin, end) that a token starts with, or `end`.
const std::uint8_t* AddedTokenSet::first_byte(const std::uint8_t* begin, const std::uint8_t* end) const {
    if (only_start_ >= 0) {
        const void* found = std::memchr(begin, only_start_, static_cast<std::size_t>(end - begin));
        return found != nullptr ? static_cast<const std::uint8_t*>(found) : end;
    }
    while (begin < end && !starts_[*begin]) ++begin;
    return begin;
}

AddedTokenSet::Match AddedTokenSet::find(const std::uint8_t* begin, const std::uint8_t* end) const {
    for (; (begin = first_byte(begin, end)) < end; ++begin) {
        Match longest{nullptr, nullptr, kNoToken, false};
        std::uint32_t node = 0;
        for (const std::uint8_t* at = begin; at < end; ++at) {
            const auto child = children_.find(std::uint64_t{node} << 8 | *at);
            if (child == children_.end()) break;
            node = child->second;
            if (nodes_[node].id != kNoToken) longest = {begin, at + 1, nodes_[node].id, nodes_[node].skipped};
        }
        if (longest.begin != nullptr) return longest;
    }
    return {nullptr, nullptr, kNoToken, false};
}

}  // namespace heph
