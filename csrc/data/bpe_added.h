// Added tokens: found in the text before it is cut into pretokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bpe_vocabulary.h"

namespace heph {

// One set of strings.  Matches are the leftmost, the longest of these, and do not overlap.
class AddedTokenSet {
public:
    struct Match {
        const std::uint8_t* begin;  // null: none
        const std::uint8_t* end;
        TokenId id;
        bool skipped;  // stays ordinary text, but nothing else is looked for in it
    };

    void add(std::string_view bytes, TokenId id, bool skipped);
    bool useful() const { return useful_; }  // has a token that is not skipped
    Match find(const std::uint8_t* begin, const std::uint8_t* end) const;

private:
    struct Node {
        TokenId id = kNoToken;
        bool skipped = false;
    };
    const std::uint8_t* first_byte(const std::uint8_t* begin, const std::uint8_t* end) const;

    std::vector<Node> nodes_{1};
    std::unordered_map<std::uint64_t, std::uint32_t> children_;  // node << 8 | byte
    bool starts_[256] = {};
    int only_start_ = -1;  // the first byte, if all tokens share it
    bool useful_ = false;
};

// The sets are searched one after the other: what the first left is searched for the second.
using AddedTokens = std::vector<AddedTokenSet>;

}  // namespace heph
