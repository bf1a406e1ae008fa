#include "bpe_cache.h"

#include <new>
#include <utility>

namespace heph {

static_assert(sizeof(PretokenCache::Slot) == 32 && std::atomic<std::uint64_t>::is_always_lock_free, "");

PretokenCache::PretokenCache(std::size_t short_slots, std::size_t long_slots)
    : mask_(short_slots - 1),
      long_mask_(long_slots - 1),
      slots_(short_slots),
      records_(new std::atomic<const Record*>[long_slots]()) {}

PretokenCache::~PretokenCache() {
    for (Record* record = all_records_.load(std::memory_order_acquire); record != nullptr;) {
        Record* next = record->next;
        ::operator delete(record);
        record = next;
    }
}

PretokenCache::Record* PretokenCache::make_record(const std::uint8_t* bytes, std::size_t size, std::uint64_t hash,
                                                  const TokenId* ids, std::size_t count) {
    void* memory = ::operator new(sizeof(Record) + count * sizeof(TokenId) + size);
    auto* record = new (memory)
        Record{nullptr, hash, static_cast<std::uint32_t>(size), static_cast<std::uint32_t>(count)};
    std::memcpy(record->ids(), ids, count * sizeof(TokenId));
    if (size > 0) std::memcpy(record->ids() + count, bytes, size);
    record->next = all_records_.load(std::memory_order_relaxed);
    while (!all_records_.compare_exchange_weak(record->next, record, std::memory_order_release,
                                               std::memory_order_relaxed)) {
    }
    return record;
}

std::size_t PretokenCache::read_record(std::uint64_t pointer, TokenId* ids) {
    const auto* record = reinterpret_cast<const Record*>(pointer);
    std::memcpy(ids, record->ids(), record->count * sizeof(TokenId));
    return record->count;
}

bool PretokenCache::insert(ShortKey key, std::uint64_t hash, const TokenId* ids, std::size_t count) {
    for (std::size_t probe = 0; probe < kProbes; ++probe) {
        Slot& slot = slots_[(hash + probe) & mask_];
        std::uint64_t held = slot.high.load(std::memory_order_acquire);
        if (held == 0 && slot.high.compare_exchange_strong(held, kClaimed, std::memory_order_acquire)) {
            std::uint64_t values[2] = {0, 0};
            if (count <= 4) {
                std::memcpy(values, ids, count * sizeof(TokenId));
                values[0] |= std::uint64_t{count} << kCountShift;
            } else {
                values[1] = reinterpret_cast<std::uint64_t>(make_record(nullptr, 0, hash, ids, count));
            }
            slot.low.store(key.low, std::memory_order_relaxed);
            slot.first.store(values[0], std::memory_order_relaxed);
            slot.second.store(values[1], std::memory_order_relaxed);
            slot.high.store(key.high, std::memory_order_release);
            inserted_.fetch_add(1, std::memory_order_relaxed);
            return true;
        }
        // Another thread may have put the same key there; if it is still at it, the key may stand twice.
        if (held == key.high && slot.low.load(std::memory_order_relaxed) == key.low) return true;
    }
    return false;
}

const PretokenCache::Record* PretokenCache::find_long(const std::uint8_t* bytes, std::size_t size,
                                                      std::uint64_t hash) const {
    for (std::size_t probe = 0; probe < kProbes; ++probe) {
        const Record* record = records_[(hash + probe) & long_mask_].load(std::memory_order_acquire);
        if (record == nullptr) return nullptr;
        if (record->hash == hash && record->size == size && std::memcmp(record->bytes(), bytes, size) == 0) {
            return record;
        }
    }
    return nullptr;
}

void PretokenCache::insert_long(const std::uint8_t* bytes, std::size_t size, std::uint64_t hash, const TokenId* ids,
                                std::size_t count) {
    for (std::size_t probe = 0; probe < kProbes; ++probe) {
        std::atomic<const Record*>& slot = records_[(hash + probe) & long_mask_];
        if (slot.load(std::memory_order_acquire) != nullptr) continue;
        // A record that loses the race for the slot stays unused until the end: rare, and small.
        const Record* expected = nullptr;
        slot.compare_exchange_strong(expected, make_record(bytes, size, hash, ids, count), std::memory_order_release,
                                     std::memory_order_relaxed);
        inserted_long_.fetch_add(1, std::memory_order_relaxed);
        return;
    }
}

CacheGenerations::CacheGenerations(std::size_t short_slots, std::size_t long_slots, Fill fill)
    : short_slots_(short_slots), long_slots_(long_slots), fill_(std::move(fill)), lease_{make(), nullptr} {}

std::shared_ptr<PretokenCache> CacheGenerations::make() const {
    auto cache = std::make_shared<PretokenCache>(short_slots_, long_slots_);
    fill_(*cache);
    return cache;
}

CacheGenerations::Lease CacheGenerations::lease() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (lease_.current->crowded()) lease_.previous = std::exchange(lease_.current, make());
    return lease_;
}

}  // namespace heph
