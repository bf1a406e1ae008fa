// A few threads that wait for the disk, so that a loader does not: reads go on side by side, and what will be wanted
// is brought into the page cache.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <tuple>
#include <vector>

#include "token_reader.h"

namespace heph {

// Threads start with the first work.  Thread-safe.
class ReadAhead {
public:
    static constexpr std::size_t kThreads = 8;
    static constexpr std::size_t kBlockBytes = std::size_t{1} << 20;

    explicit ReadAhead(std::size_t threads = kThreads, std::size_t block_bytes = kBlockBytes);
    ~ReadAhead();  // what has not begun is dropped
    ReadAhead(const ReadAhead&) = delete;
    ReadAhead& operator=(const ReadAhead&) = delete;

    // A hint: tokens [start, start + count) will be read soon.  Returns at once.  What was wanted not long ago, lies
    // outside the stream, or finds too much waiting is left out; errors are left to the reading itself.
    void want(const std::shared_ptr<const TokenReader>& reader, std::uint64_t start, std::uint64_t count);

    // Runs task(0) ... task(count - 1), on the threads and this one, before anything that is only wanted.  Returns when
    // all are done; throws what the first failing one threw.
    void run(std::size_t count, const std::function<void(std::size_t)>& task);

    std::uint64_t block_bytes() const { return block_bytes_; }
    std::size_t threads() const;  // that have started
    std::size_t waiting() const;  // blocks that are wanted and not begun

private:
    struct Job;
    struct Block {
        std::shared_ptr<const TokenReader> reader;
        std::uint64_t start, count;
    };
    using Key = std::tuple<const TokenReader*, std::uint64_t, std::uint64_t>;

    void start_threads();
    void work();
    bool is_new(const Block& block);

    const std::size_t most_threads_, block_bytes_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::shared_ptr<Job>> jobs_;
    std::deque<Block> wanted_;
    std::set<Key> recent_;
    std::deque<Key> recent_order_;
    std::vector<std::thread> threads_;
    bool stopping_ = false;
};

}  // namespace heph
