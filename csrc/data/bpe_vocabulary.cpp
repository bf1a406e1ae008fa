#include "bpe_vocabulary.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace heph {

namespace {

std::uint64_t load(const std::uint8_t* bytes, std::size_t size) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes, size);
    return value;
}

const std::uint8_t* raw(std::string_view bytes) { return reinterpret_cast<const std::uint8_t*>(bytes.data()); }

// For messages: the bytes, those that do not print as \xNN.
std::string shown(std::string_view bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text = "'";
    for (const char letter : bytes.substr(0, 40)) {
        const auto byte = static_cast<std::uint8_t>(letter);
        if (byte >= 0x20 && byte < 0x7F) {
            text += letter;
        } else {
            text += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
        }
    }
    return text + (bytes.size() > 40 ? "...'" : "'");
}

}  // namespace

std::uint64_t hash_bytes(const std::uint8_t* bytes, std::size_t size) {
    std::uint64_t hash = size;
    std::size_t at = 0;
    for (; at + 16 <= size; at += 16) hash = mix(load(bytes + at, 8) ^ hash, load(bytes + at + 8, 8));
    const std::size_t rest = size - at;
    const std::uint64_t low = load(bytes + at, std::min<std::size_t>(rest, 8));
    return mix(low ^ hash, rest > 8 ? load(bytes + at + 8, rest - 8) : hash >> 32);
}

void Vocabulary::add_token(TokenId id, std::string_view bytes, bool word) {
    if (id >= kMostTokens) {
        throw std::invalid_argument("token " + shown(bytes) + " has the id " + std::to_string(id) +
                                    "; the largest is " + std::to_string(kMostTokens - 1));
    }
    if (bytes.empty() || bytes.size() > kLongestToken) {
        throw std::invalid_argument("token " + std::to_string(id) + " has " + std::to_string(bytes.size()) +
                                    " bytes; a token has 1 to " + std::to_string(kLongestToken));
    }
    if (known(id)) {
        throw std::invalid_argument("the id " + std::to_string(id) + " is given twice: to " + shown(bytes_of(id)) +
                                    " and to " + shown(bytes));
    }
    if (id >= lengths_.size()) {
        lengths_.resize(id + std::size_t{1}, kUnset);
        starts_.resize(id + std::size_t{1});
        is_word_.resize(id + std::size_t{1});
    }
    starts_[id] = bytes_.size();
    lengths_[id] = static_cast<std::uint32_t>(bytes.size());
    bytes_.append(bytes);
    is_word_[id] = word;
    if (!word) return;
    if (++word_count_ * 2 > words_.size()) grow_words();
    const std::uint64_t hash = hash_bytes(raw(bytes), bytes.size());
    Word& slot = slot_of(hash, bytes);
    if (slot.id != kNoToken) {
        throw std::invalid_argument("the token " + shown(bytes) + " has two ids: " + std::to_string(slot.id) + " and " +
                                    std::to_string(id));
    }
    slot = {static_cast<std::uint32_t>(hash >> 32), id};
}

// The slot of a word, or the free one that it would take.
Vocabulary::Word& Vocabulary::slot_of(std::uint64_t hash, std::string_view bytes) {
    const std::size_t mask = words_.size() - 1;
    for (std::size_t at = hash & mask;; at = (at + 1) & mask) {
        Word& word = words_[at];
        if (word.id == kNoToken || (word.tag == hash >> 32 && bytes_of(word.id) == bytes)) return word;
    }
}

void Vocabulary::grow_words() {
    const std::size_t slots = std::max<std::size_t>(words_.size() * 4, 1024);
    const std::vector<Word> old = std::exchange(words_, std::vector<Word>(slots));
    for (const Word& word : old) {
        if (word.id == kNoToken) continue;
        const std::string_view bytes = bytes_of(word.id);
        slot_of(hash_bytes(raw(bytes), bytes.size()), bytes) = word;
    }
}

TokenId Vocabulary::find(const std::uint8_t* bytes, std::size_t size) const {
    if (words_.empty() || size > kLongestToken) return kNoToken;
    const std::uint64_t hash = hash_bytes(bytes, size);
    const std::size_t mask = words_.size() - 1;
    for (std::size_t at = hash & mask;; at = (at + 1) & mask) {
        const Word& word = words_[at];
        if (word.id == kNoToken) return kNoToken;
        if (word.tag == hash >> 32 && lengths_[word.id] == size &&
            std::memcmp(bytes_.data() + starts_[word.id], bytes, size) == 0) {
            return word.id;
        }
    }
}

TokenId Vocabulary::require(std::string_view bytes) const {
    const TokenId id = find(raw(bytes), bytes.size());
    if (id == kNoToken) {
        throw std::invalid_argument("a merge needs the token " + shown(bytes) + ", which is not in the vocabulary");
    }
    return id;
}

void Vocabulary::reserve_merges(std::size_t count) {
    pairs_ = PairTable(count);
    merged_.reserve(count);
}

void Vocabulary::add_merge(std::string_view left, std::string_view right, Rank rank) {
    const TokenId left_id = require(left);
    const TokenId right_id = require(right);
    std::string whole(left);
    whole.append(right);
    if (rank >= merged_.size()) merged_.resize(rank + std::size_t{1}, kNoToken);
    merged_[rank] = require(whole);
    pairs_.put(left_id, right_id, rank);
}

void Vocabulary::merge_by_id() {
    merged_.resize(lengths_.size());
    std::iota(merged_.begin(), merged_.end(), TokenId{0});
    for (TokenId id = 0; id < lengths_.size(); ++id) {
        if (!is_word(id)) continue;
        const std::string_view whole = bytes_of(id);
        for (std::size_t cut = 1; cut < whole.size(); ++cut) {
            const TokenId left = find(raw(whole), cut);
            if (left == kNoToken) continue;
            const TokenId right = find(raw(whole) + cut, whole.size() - cut);
            if (right != kNoToken) pairs_.put(left, right, id);
        }
    }
}

void Vocabulary::finish() {
    for (unsigned byte = 0; byte < 256; ++byte) {
        const auto letter = static_cast<std::uint8_t>(byte);
        byte_ids_[byte] = find(&letter, 1);
        lacks_bytes_ |= byte_ids_[byte] == kNoToken;
        if (byte_ids_[byte] == kNoToken && byte > ' ' && byte < 0x7F) {
            const char text = static_cast<char>(letter);
            throw std::invalid_argument("the byte " + shown({&text, 1}) + " is not a token: hardly a text has ids");
        }
    }
    byte_ranks_.resize(1 << 16);
    for (unsigned pair = 0; pair < 1 << 16; ++pair) {
        const TokenId left = byte_ids_[pair >> 8], right = byte_ids_[pair & 255];
        byte_ranks_[pair] = left == kNoToken || right == kNoToken ? kNoRank : rank_of(left, right);
    }
}

}  // namespace heph
