// Pretokens and their ids, shared by all threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>

#include "bpe_vocabulary.h"
#include "huge_array.h"

namespace heph {

// Up to 15 bytes, zeros, and the length in the last byte: never zero as a whole.
struct ShortKey {
    std::uint64_t low;
    std::uint64_t high;
};
constexpr std::size_t kShortKey = 15;
constexpr std::size_t kLongestKey = 255;

constexpr std::uint64_t low_bytes(unsigned count) {
    return count == 0 ? 0 : ~std::uint64_t{0} >> (64 - 8 * (count < 8 ? count : 8));
}
constexpr ShortKey short_mask(unsigned size) { return {low_bytes(size), size > 8 ? low_bytes(size - 8) : 0}; }
inline constexpr ShortKey kShortMasks[kShortKey + 1] = {
    short_mask(0),  short_mask(1),  short_mask(2),  short_mask(3),  short_mask(4),  short_mask(5),
    short_mask(6),  short_mask(7),  short_mask(8),  short_mask(9),  short_mask(10), short_mask(11),
    short_mask(12), short_mask(13), short_mask(14), short_mask(15)};

// Reads 16 bytes at `bytes`, whatever `size` <= 15 is.
inline ShortKey short_key(const std::uint8_t* bytes, std::size_t size) {
    ShortKey key;
    std::memcpy(&key, bytes, sizeof(key));
    const auto& mask = kShortMasks[size];
    return {key.low & mask.low, (key.high & mask.high) | std::uint64_t{size} << 56};
}

// Insert-only hash tables without locks.  An entry is complete before it can be seen, and never changes:
// a slot is claimed by a compare-and-swap, filled, and published by a release store of its key, which readers
// read by an acquire load; a long pretoken is one immutable record behind one atomic pointer.  Probing is
// bounded, so that no choice of texts makes it slow: what finds no room is not kept.
class PretokenCache {
public:
    // A record of a long pretoken, or of a short one with many ids; the ids and the bytes follow it.
    struct Record {
        Record* next;  // of all records, for the end
        std::uint64_t hash;
        std::uint32_t size;
        std::uint32_t count;
        TokenId* ids() { return reinterpret_cast<TokenId*>(this + 1); }
        const TokenId* ids() const { return reinterpret_cast<const TokenId*>(this + 1); }
        const std::uint8_t* bytes() const { return reinterpret_cast<const std::uint8_t*>(ids() + count); }
    };

    // Half a cache line.  `first` holds two ids with their count (1 to 4) in the top bits of the first, `second`
    // two more; a count of 0 says that `second` is a pointer to a record.
    struct alignas(32) Slot {
        std::atomic<std::uint64_t> high;
        std::atomic<std::uint64_t> low;
        std::atomic<std::uint64_t> first;
        std::atomic<std::uint64_t> second;
    };
    static constexpr unsigned kCountShift = 28;
    static constexpr std::uint64_t kIdsOnly = ~(std::uint64_t{15} << kCountShift);
    static_assert(kIdBits <= kCountShift, "ids and their count share a word");

    explicit PretokenCache(std::size_t short_slots, std::size_t long_slots);
    ~PretokenCache();
    PretokenCache(const PretokenCache&) = delete;
    PretokenCache& operator=(const PretokenCache&) = delete;

    static std::uint64_t hash(ShortKey key) { return mix(key.low, key.high); }
    void prefetch(std::uint64_t hash) const { __builtin_prefetch(&slots_[hash & mask_]); }
    void prefetch_long(std::uint64_t hash) const { __builtin_prefetch(&records_[hash & long_mask_]); }

    // The slot of a key, or null.
    const Slot* find(ShortKey key, std::uint64_t hash) const {
        for (std::size_t probe = 0; probe < kProbes; ++probe) {
            const Slot& slot = slots_[(hash + probe) & mask_];
            const std::uint64_t high = slot.high.load(std::memory_order_acquire);
            if (high == key.high && slot.low.load(std::memory_order_relaxed) == key.low) return &slot;
            if (high == 0) return nullptr;
        }
        return nullptr;
    }
    // Copies the ids of a slot; four are written whatever their count.
    static std::size_t read(const Slot& slot, TokenId* ids) {
        const std::uint64_t first = slot.first.load(std::memory_order_relaxed);
        const std::uint64_t second = slot.second.load(std::memory_order_relaxed);
        const std::size_t count = first >> kCountShift & 15;
        if (__builtin_expect(count == 0, 0)) return read_record(second, ids);
        const std::uint64_t values[2] = {first & kIdsOnly, second};
        std::memcpy(ids, values, sizeof(values));
        return count;
    }
    // False if there is no room.
    bool insert(ShortKey key, std::uint64_t hash, const TokenId* ids, std::size_t count);

    const Record* find_long(const std::uint8_t* bytes, std::size_t size, std::uint64_t hash) const;
    void insert_long(const std::uint8_t* bytes, std::size_t size, std::uint64_t hash, const TokenId* ids,
                     std::size_t count);

    // Whether every short word of the vocabulary is in it; set before the cache is shared.
    bool has_words = false;

    // Half full: from here on pretokens would start to find no room.
    bool crowded() const {
        return inserted_.load(std::memory_order_relaxed) > mask_ / 2 ||
               inserted_long_.load(std::memory_order_relaxed) > long_mask_ / 2;
    }

private:
    static constexpr std::size_t kProbes = 8;
    static constexpr std::uint64_t kClaimed = std::uint64_t{255} << 56;  // no key: lengths end at 15
    static std::size_t read_record(std::uint64_t pointer, TokenId* ids);
    Record* make_record(const std::uint8_t* bytes, std::size_t size, std::uint64_t hash, const TokenId* ids,
                        std::size_t count);

    std::size_t mask_;
    std::size_t long_mask_;
    HugeArray<Slot> slots_;  // all bits zero: free
    std::unique_ptr<std::atomic<const Record*>[]> records_;
    std::atomic<Record*> all_records_{nullptr};
    std::atomic<std::size_t> inserted_{0};
    std::atomic<std::size_t> inserted_long_{0};
};

// Two generations: what is used again is copied from the older one into the newer; when that is crowded it
// becomes the older one.  Memory stays bounded, and a change of language or subject does not find a full table.
class CacheGenerations {
public:
    struct Lease {
        std::shared_ptr<PretokenCache> current;
        std::shared_ptr<PretokenCache> previous;  // or null
    };
    // `fill` puts into a new cache what is known beforehand.
    using Fill = std::function<void(PretokenCache&)>;
    CacheGenerations(std::size_t short_slots, std::size_t long_slots, Fill fill);
    Lease lease();  // for one call

private:
    std::shared_ptr<PretokenCache> make() const;

    std::size_t short_slots_;
    std::size_t long_slots_;
    Fill fill_;
    std::mutex mutex_;
    Lease lease_;
};

}  // namespace heph
