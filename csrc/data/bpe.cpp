#include "bpe.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

#include "unicode_classes.h"

namespace heph {

namespace {

// Pretokens that are cut, hashed and prefetched before they are looked up: enough for the table's lines to
// arrive, few enough to stay in the L1 cache.
constexpr std::size_t kBatch = 128;
constexpr std::size_t kSlack = 4;  // ids that a look-up may write too many

}  // namespace

TokenId* IdBuffer::room_for(std::size_t more) {
    if (size_ + more > capacity_) {
        const std::size_t wanted = std::max(size_ + more, capacity_ + capacity_ / 2);
        if (wanted > SIZE_MAX / sizeof(TokenId)) throw std::bad_alloc();
        auto* grown = static_cast<TokenId*>(std::realloc(ids_.get(), wanted * sizeof(TokenId)));
        if (grown == nullptr) throw std::bad_alloc();
        (void)ids_.release();
        ids_.reset(grown);
        capacity_ = wanted;
    }
    return ids_.get() + size_;
}

TokenId* IdBuffer::release() {
    TokenId* ids = ids_.release();
    auto* fitted = static_cast<TokenId*>(std::realloc(ids, std::max<std::size_t>(size_, 1) * sizeof(TokenId)));
    return fitted != nullptr ? fitted : ids;
}

struct BpeEncoder::Work {
    Merger merger;
    CacheGenerations::Lease caches;
    unsigned seen = 0;
    bool unknown = false;
    std::vector<std::uint8_t> padded;
};

BpeEncoder::BpeEncoder(Vocabulary vocabulary, AddedTokens added, const BpeOptions& options)
    : vocabulary_(std::move(vocabulary)),
      added_(std::move(added)),
      split_(splitter_of(options.pattern)),
      whole_words_(options.whole_words),
      caches_(options.cache_slots, options.long_cache_slots,
              [this](PretokenCache& cache) { fill(cache); }) {
    const auto useless = [](const AddedTokenSet& set) { return !set.useful(); };
    added_.erase(std::remove_if(added_.begin(), added_.end(), useless), added_.end());
}

Encoded BpeEncoder::encode(const std::uint8_t* data, std::size_t size, const std::int64_t* offsets,
                           std::size_t documents) const {
    for (std::size_t i = 0; i <= documents; ++i) {
        if (offsets[i] < (i > 0 ? offsets[i - 1] : 0) || static_cast<std::uint64_t>(offsets[i]) > size) {
            throw std::invalid_argument("the offset of document " + std::to_string(i) + ", " +
                                        std::to_string(offsets[i]) + ", does not fit " + std::to_string(size) +
                                        " bytes");
        }
    }
    Work work{Merger(vocabulary_), caches_.lease(), 0, false, {}};
    Encoded result;
    result.lengths.reserve(documents);
    result.ids.room_for(size / 3 + 1024);  // text has about four bytes a token: it seldom grows
    for (std::size_t i = 0; i < documents; ++i) {
        const std::uint8_t* begin = data + offsets[i];
        const std::uint8_t* end = data + offsets[i + 1];
        const std::size_t before = result.ids.size();
        if (size - static_cast<std::size_t>(offsets[i + 1]) < kTextPadding) {  // nothing may be read behind the data
            work.padded.assign(begin, end);
            work.padded.resize(work.padded.size() + kTextPadding);
            end = work.padded.data() + (end - begin);
            begin = work.padded.data();
        }
        work.seen = 0;
        if (!encode_document(work, begin, end, result.ids)) {
            result.ids.truncate(before);
            result.declined.push_back(static_cast<std::int64_t>(i));
        } else if ((work.seen & kComposes) != 0) {
            result.unsteady.push_back(static_cast<std::int64_t>(i));
        }
        result.lengths.push_back(static_cast<std::int64_t>(result.ids.size() - before));
    }
    return result;
}

namespace {

// Calls `token` and `text` for what is in [begin, end), in order.
template <typename Text, typename Token>
void each_part(const AddedTokens& sets, std::size_t set, const std::uint8_t* begin, const std::uint8_t* end,
               const Text& text, const Token& token) {
    if (set == sets.size()) {
        if (begin < end) text(begin, end);
        return;
    }
    const std::uint8_t* at = begin;
    while (at < end) {
        const AddedTokenSet::Match match = sets[set].find(at, end);
        if (match.begin == nullptr) break;
        at = match.end;
        if (match.skipped) continue;
        each_part(sets, set + 1, begin, match.begin, text, token);
        token(match.id);
        begin = match.end;
    }
    each_part(sets, set + 1, begin, end, text, token);
}

}  // namespace

bool BpeEncoder::encode_document(Work& work, const std::uint8_t* begin, const std::uint8_t* end, IdBuffer& ids) const {
    TokenId* out = ids.room_for(static_cast<std::size_t>(end - begin) + kSlack);  // a token has a byte at least
    work.unknown = false;
    each_part(
        added_, 0, begin, end,
        [&](const std::uint8_t* from, const std::uint8_t* to) { out = encode_text(work, from, to, out); },
        [&](TokenId id) { *out++ = id; });
    ids.advance_to(out);
    return !work.unknown;
}

TokenId* BpeEncoder::encode_text(Work& work, const std::uint8_t* begin, const std::uint8_t* end, TokenId* ids) const {
    TextCursor cursor{begin, end, work.seen, false};
    const std::uint8_t* ends[kBatch];
    while (cursor.at < end && !work.unknown) {
        const std::uint8_t* from = cursor.at;
        const std::size_t count = split_(cursor, ends, kBatch);
        work.unknown = cursor.unknown;
        ids = look_up(work, from, ends, count, ids);
    }
    work.seen = cursor.seen;
    return ids;
}

TokenId* BpeEncoder::look_up(Work& work, const std::uint8_t* begin, const std::uint8_t* const* ends, std::size_t count,
                             TokenId* ids) const {
    const PretokenCache& cache = *work.caches.current;
    ShortKey keys[kBatch];
    std::uint64_t hashes[kBatch];
    const std::uint8_t* from = begin;
    for (std::size_t i = 0; i < count; ++i) {
        const auto size = static_cast<std::size_t>(ends[i] - from);
        if (__builtin_expect(size <= kShortKey, 1)) {
            keys[i] = short_key(from, size);
            hashes[i] = PretokenCache::hash(keys[i]);
            cache.prefetch(hashes[i]);
        } else {
            hashes[i] = size <= kLongestKey ? hash_bytes(from, size) : 0;
            cache.prefetch_long(hashes[i]);
        }
        from = ends[i];
    }
    from = begin;
    for (std::size_t i = 0; i < count; ++i) {
        const auto size = static_cast<std::size_t>(ends[i] - from);
        if (__builtin_expect(size <= kShortKey, 1)) {
            const PretokenCache::Slot* slot = cache.find(keys[i], hashes[i]);
            ids += slot != nullptr ? PretokenCache::read(*slot, ids) : miss(work, from, size, keys[i], hashes[i], ids);
        } else {
            ids += long_word(work, from, size, hashes[i], ids);
        }
        from = ends[i];
    }
    return ids;
}

std::size_t BpeEncoder::miss(Work& work, const std::uint8_t* bytes, std::size_t size, ShortKey key, std::uint64_t hash,
                             TokenId* ids) const {
    const PretokenCache* previous = work.caches.previous.get();
    const PretokenCache::Slot* slot = previous != nullptr ? previous->find(key, hash) : nullptr;
    const std::size_t count = slot != nullptr ? PretokenCache::read(*slot, ids) : merge(work, bytes, size, ids);
    if (count > 0) work.caches.current->insert(key, hash, ids, count);
    return count;
}

std::size_t BpeEncoder::long_word(Work& work, const std::uint8_t* bytes, std::size_t size, std::uint64_t hash,
                                  TokenId* ids) const {
    if (size > kLongestKey) return merge(work, bytes, size, ids);
    const PretokenCache::Record* record = work.caches.current->find_long(bytes, size, hash);
    const bool found = record != nullptr;
    if (!found && work.caches.previous != nullptr) record = work.caches.previous->find_long(bytes, size, hash);
    std::size_t count;
    if (record != nullptr) {
        count = record->count;
        std::memcpy(ids, record->ids(), count * sizeof(TokenId));
    } else {
        count = merge(work, bytes, size, ids);
    }
    if (!found && count > 0) work.caches.current->insert_long(bytes, size, hash, ids, count);
    return count;
}

// Words of the vocabulary are in the cache from the beginning: the first text finds it warm.
void BpeEncoder::fill(PretokenCache& cache) const {
    if (!whole_words_) return;
    std::uint8_t padded[kShortKey + 1] = {};
    cache.has_words = true;
    for (TokenId id = 0; id < vocabulary_.size(); ++id) {
        if (!vocabulary_.is_word(id)) continue;
        const std::string_view bytes = vocabulary_.bytes_of(id);
        if (bytes.size() > kShortKey) continue;
        std::memcpy(padded, bytes.data(), bytes.size());
        const ShortKey key = short_key(padded, bytes.size());
        cache.has_words &= cache.insert(key, PretokenCache::hash(key), &id, 1);
    }
}

std::size_t BpeEncoder::merge(Work& work, const std::uint8_t* bytes, std::size_t size, TokenId* ids) const {
    if (whole_words_ && (size > kShortKey || !work.caches.current->has_words)) {
        ids[0] = vocabulary_.find(bytes, size);
        if (ids[0] != kNoToken) return 1;
    }
    if (!vocabulary_.spells(bytes, size)) {
        work.unknown = true;
        return 0;
    }
    return work.merger.merge(bytes, size, ids);
}

}  // namespace heph
