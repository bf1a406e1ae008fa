// The open shards of a reader, the last ones used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "token_shard.h"

namespace heph {

// Opens shards as they are asked for, and closes the one that was not used for longest when there are more than
// `most`, or when the process has half of the files open that it may have (of these a reader keeps a few).  A shard
// that somebody still holds is closed when it is let go.  Thread-safe.
class OpenShards {
public:
    OpenShards(const std::vector<ShardSpec>& specs, ReadCounters& counters, std::size_t most);

    std::shared_ptr<const TokenShard> get(std::size_t index);
    std::size_t size() const;

private:
    struct Slot {
        std::shared_ptr<const TokenShard> shard;
        std::uint64_t used = 0;
    };

    void make_room();

    const std::vector<ShardSpec>& specs_;
    ReadCounters& counters_;
    std::size_t most_, most_files_;
    mutable std::mutex mutex_;
    std::vector<Slot> slots_;         // of every shard
    std::vector<std::size_t> open_;   // which of them are
    std::uint64_t uses_ = 0;
};

}  // namespace heph
