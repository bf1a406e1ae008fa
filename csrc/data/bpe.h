// Byte-level BPE: texts in, token ids out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "bpe_added.h"
#include "bpe_cache.h"
#include "bpe_merge.h"
#include "bpe_vocabulary.h"
#include "pretokenize.h"

namespace heph {

// Ids that grow without being zeroed first; pages that are not reached cost nothing.
class IdBuffer {
public:
    // Room for `more` ids at `end()`.
    TokenId* room_for(std::size_t more);
    void advance_to(const TokenId* end) { size_ = static_cast<std::size_t>(end - ids_.get()); }
    std::size_t size() const { return size_; }
    void truncate(std::size_t size) { size_ = size; }
    TokenId* release();  // to std::free; shrunk to the size

private:
    struct Free {
        void operator()(TokenId* ids) const { std::free(ids); }
    };
    std::unique_ptr<TokenId[], Free> ids_;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

struct Encoded {
    IdBuffer ids;
    std::vector<std::int64_t> lengths;   // tokens of each document
    std::vector<std::int64_t> declined;  // documents with a character whose class is not known, or a byte that is no token: no ids
    std::vector<std::int64_t> unsteady;  // documents that may not be in normal form C
};

struct BpeOptions {
    Pattern pattern = Pattern::kGpt2;
    bool whole_words = false;  // a pretoken that is a token is not merged
    std::size_t cache_slots = std::size_t{1} << 22;  // of 32 bytes; two generations at most
    std::size_t long_cache_slots = std::size_t{1} << 20;
};

// Built once; `encode` may run in many threads at a time, which share the cache.
class BpeEncoder {
public:
    BpeEncoder(Vocabulary vocabulary, AddedTokens added, const BpeOptions& options);

    // Document i is data[offsets[i], offsets[i + 1]).  std::invalid_argument if the offsets do not ascend, or
    // leave the `size` bytes.
    Encoded encode(const std::uint8_t* data, std::size_t size, const std::int64_t* offsets,
                   std::size_t documents) const;
    const Vocabulary& vocabulary() const { return vocabulary_; }

private:
    struct Work;
    bool encode_document(Work& work, const std::uint8_t* begin, const std::uint8_t* end, IdBuffer& ids) const;
    TokenId* encode_text(Work& work, const std::uint8_t* begin, const std::uint8_t* end, TokenId* ids) const;
    TokenId* look_up(Work& work, const std::uint8_t* begin, const std::uint8_t* const* ends, std::size_t count,
                     TokenId* ids) const;
    std::size_t miss(Work& work, const std::uint8_t* bytes, std::size_t size, ShortKey key, std::uint64_t hash,
                     TokenId* ids) const;
    std::size_t long_word(Work& work, const std::uint8_t* bytes, std::size_t size, std::uint64_t hash,
                          TokenId* ids) const;
    void fill(PretokenCache& cache) const;
    std::size_t merge(Work& work, const std::uint8_t* bytes, std::size_t size, TokenId* ids) const;

    Vocabulary vocabulary_;
    AddedTokens added_;
    Splitter split_;
    bool whole_words_;
    mutable CacheGenerations caches_;
};

}  // namespace heph
