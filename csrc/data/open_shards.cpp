#include "open_shards.h"

#include <sys/resource.h>

#include <algorithm>

namespace heph {

namespace {

constexpr std::size_t kAlways = 8;  // shards that a reader may have open whatever others have

std::size_t half_of_the_files() {
    struct rlimit limit {};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::size_t{1} << 20;
    return static_cast<std::size_t>(limit.rlim_cur / 2);
}

}  // namespace

OpenShards::OpenShards(const std::vector<ShardSpec>& specs, ReadCounters& counters, std::size_t most)
    : specs_(specs),
      counters_(counters),
      most_(std::max<std::size_t>(most, 1)),
      most_files_(half_of_the_files()),
      slots_(specs.size()) {}

std::shared_ptr<const TokenShard> OpenShards::get(std::size_t index) {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        Slot& slot = slots_[index];
        slot.used = ++uses_;
        if (slot.shard) return slot.shard;
    }
    // Opening may take a network's time: others go on meanwhile, and of two that open the same shard one wins.
    auto opened = std::make_shared<const TokenShard>(specs_[index], counters_);
    const std::lock_guard<std::mutex> lock(mutex_);
    Slot& slot = slots_[index];
    if (!slot.shard) {
        make_room();
        slot.shard = std::move(opened);
        open_.push_back(index);
    }
    return slot.shard;
}

void OpenShards::make_room() {
    while (!open_.empty() &&
           (open_.size() >= most_ || (TokenFile::open_files() >= most_files_ && open_.size() >= kAlways))) {
        const auto oldest = std::min_element(open_.begin(), open_.end(), [&](std::size_t a, std::size_t b) {
            return slots_[a].used < slots_[b].used;
        });
        slots_[*oldest].shard.reset();
        *oldest = open_.back();
        open_.pop_back();
    }
}

std::size_t OpenShards::size() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return open_.size();
}

}  // namespace heph
