// The tokens and merges of a byte-level BPE, in tables made for looking up.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bpe_pairs.h"

namespace heph {

constexpr TokenId kNoToken = 0xFFFFFFFF;
constexpr std::size_t kLongestToken = 1 << 12;  // in bytes

// 128-bit product of two keyed words, folded: every bit of the result depends on all of the input.
inline std::uint64_t mix(std::uint64_t low, std::uint64_t high) {
    const auto product = static_cast<unsigned __int128>(low ^ 0x9E3779B97F4A7C15) * (high ^ 0xD1B54A32D192ED03);
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t hash_bytes(const std::uint8_t* bytes, std::size_t size);

class Vocabulary {
public:
    // Tokens first.  A `word` is one that text can become; the others can only be decoded.
    // std::invalid_argument for an id out of range, twice the same id or word, and a token that is too long.
    void add_token(TokenId id, std::string_view bytes, bool word);
    // Then merges, each with its place in the list; a later one overrules an earlier one of the same pair.
    // std::invalid_argument if a part or the whole is not a word.
    void reserve_merges(std::size_t count);
    void add_merge(std::string_view left, std::string_view right, std::uint32_t rank);
    // Or, in place of merges: every pair whose concatenation is a word merges, the lowest id first.
    void merge_by_id();
    // When all is there.  std::invalid_argument if a byte that is a visible ASCII character is no word.
    void finish();

    TokenId find(const std::uint8_t* bytes, std::size_t size) const;
    Rank rank_of(TokenId left, TokenId right) const { return pairs_.find(left, right); }
    Rank rank_of_bytes(std::uint8_t left, std::uint8_t right) const { return byte_ranks_[left << 8 | right]; }
    void prefetch_merged(Rank rank) const { __builtin_prefetch(&merged_[rank]); }
    TokenId merged(Rank rank) const { return merged_[rank]; }
    // kNoToken for a byte that is no word: what becomes of it is not for this engine to say.
    TokenId byte_id(std::uint8_t byte) const { return byte_ids_[byte]; }
    bool spells(const std::uint8_t* bytes, std::size_t size) const {
        return !lacks_bytes_ || std::none_of(bytes, bytes + size, [this](std::uint8_t b) { return byte_ids_[b] == kNoToken; });
    }

    std::size_t size() const { return lengths_.size(); }  // largest id + 1
    bool known(TokenId id) const { return id < lengths_.size() && lengths_[id] != kUnset; }
    bool is_word(TokenId id) const { return known(id) && is_word_[id]; }
    std::string_view bytes_of(TokenId id) const { return {bytes_.data() + starts_[id], lengths_[id]}; }

private:
    struct Word {
        std::uint32_t tag = 0;  // upper bits of the hash
        TokenId id = kNoToken;
    };
    static constexpr std::uint32_t kUnset = 0xFFFFFFFF;

    Word& slot_of(std::uint64_t hash, std::string_view bytes);
    void grow_words();
    TokenId require(std::string_view bytes) const;

    std::string bytes_;                   // of all tokens
    std::vector<std::uint64_t> starts_;   // by id
    std::vector<std::uint32_t> lengths_;  // by id
    std::vector<bool> is_word_;           // by id
    std::vector<Word> words_;
    std::size_t word_count_ = 0;
    PairTable pairs_;
    std::vector<TokenId> merged_;    // by rank
    std::vector<Rank> byte_ranks_;   // of two bytes
    TokenId byte_ids_[256] = {};
    bool lacks_bytes_ = false;
};

}  // namespace heph
