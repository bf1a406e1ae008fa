// A few values that were used last, made where they are missing.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace heph {

// Thread-safe.  A value is made outside of the lock, so that nobody waits for another's; if two make the same, both
// get the one that was ready first.
template <typename Key, typename Value>
class Recent {
public:
    explicit Recent(std::size_t most) : most_(most) {}

    template <typename Make>
    std::shared_ptr<Value> get(const Key& key, Make make) {
        if (auto found = find(key)) return found;
        std::shared_ptr<Value> made = make();
        const std::lock_guard<std::mutex> locked(mutex_);
        if (auto found = touch(key)) return found;
        if (entries_.size() == most_) entries_.erase(entries_.begin());
        entries_.emplace_back(key, made);
        return made;
    }

private:
    std::shared_ptr<Value> find(const Key& key) {
        const std::lock_guard<std::mutex> locked(mutex_);
        return touch(key);
    }

    // Moves an entry to the end, where it is safe longest.
    std::shared_ptr<Value> touch(const Key& key) {
        for (std::size_t i = entries_.size(); i-- > 0;) {
            if (!(entries_[i].first == key)) continue;
            for (; i + 1 < entries_.size(); ++i) std::swap(entries_[i], entries_[i + 1]);
            return entries_.back().second;
        }
        return nullptr;
    }

    std::size_t most_;
    std::mutex mutex_;
    std::vector<std::pair<Key, std::shared_ptr<Value>>> entries_;
};

}  // namespace heph
