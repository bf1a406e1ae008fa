#include "read_ahead.h"

#include <algorithm>
#include <atomic>
#include <exception>

namespace heph {

namespace {

constexpr std::size_t kMostWanted = 4096;  // blocks
constexpr std::size_t kRecent = 1024;      // blocks; the page cache keeps at least so many

}  // namespace

// Tasks that several threads take from; whoever takes the last one need not be the last to finish.
struct ReadAhead::Job {
    Job(std::size_t tasks, const std::function<void(std::size_t)>& body) : count(tasks), task(body) {}

    // Works until no task is left to begin.
    void help() {
        for (std::size_t i = next++; i < count; i = next++) {
            std::exception_ptr caught;
            try {
                task(i);
            } catch (...) {
                caught = std::current_exception();
            }
            const std::lock_guard<std::mutex> lock(mutex);
            if (caught && i < failed) {
                failed = i;
                error = caught;
            }
            if (++done == count) finished.notify_all();
        }
    }

    const std::size_t count;
    const std::function<void(std::size_t)>& task;  // of the caller, who waits; not touched after the last task
    std::atomic<std::size_t> next{0};
    std::mutex mutex;
    std::condition_variable finished;
    std::size_t done = 0, failed = SIZE_MAX;
    std::exception_ptr error;
};

ReadAhead::ReadAhead(std::size_t threads, std::size_t block_bytes)
    : most_threads_(threads), block_bytes_(std::max<std::size_t>(block_bytes, 4096)) {}

ReadAhead::~ReadAhead() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        stopping_ = true;
        wanted_.clear();
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

void ReadAhead::want(const std::shared_ptr<const TokenReader>& reader, std::uint64_t start, std::uint64_t count) {
    const std::uint64_t total = reader->total_tokens();
    if (start >= total || most_threads_ == 0) return;
    const std::uint64_t stop = start + std::min(count, total - start);
    const std::uint64_t step = std::max<std::uint64_t>(block_bytes_ / reader->bytes_of(1), 1);
    const std::lock_guard<std::mutex> lock(mutex_);
    for (std::uint64_t at = start; at < stop && wanted_.size() < kMostWanted; at += step) {
        const Block block{reader, at, std::min(step, stop - at)};
        if (is_new(block)) wanted_.push_back(block);
    }
    if (wanted_.empty()) return;
    start_threads();
    changed_.notify_one();  // to ask for a block takes no time: one thread asks for all
}

bool ReadAhead::is_new(const Block& block) {
    const Key key{block.reader.get(), block.start, block.count};
    if (!recent_.insert(key).second) return false;
    recent_order_.push_back(key);
    if (recent_order_.size() > kRecent) {
        recent_.erase(recent_order_.front());
        recent_order_.pop_front();
    }
    return true;
}

void ReadAhead::run(std::size_t count, const std::function<void(std::size_t)>& task) {
    if (count == 0) return;
    const auto job = std::make_shared<Job>(count, task);
    if (count > 1 && most_threads_ > 0) {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (std::size_t i = std::min(count - 1, most_threads_); i > 0; --i) jobs_.push_back(job);
        start_threads();
        changed_.notify_all();
    }
    job->help();
    std::unique_lock<std::mutex> lock(job->mutex);
    job->finished.wait(lock, [&] { return job->done == count; });
    if (job->error) std::rethrow_exception(job->error);
}

void ReadAhead::start_threads() {
    const std::size_t needed = std::min(most_threads_, jobs_.size() + wanted_.size());
    while (threads_.size() < needed) threads_.emplace_back([this] { work(); });
}

void ReadAhead::work() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
        changed_.wait(lock, [&] { return stopping_ || !jobs_.empty() || !wanted_.empty(); });
        if (stopping_) return;
        if (!jobs_.empty()) {
            const std::shared_ptr<Job> job = std::move(jobs_.front());
            jobs_.pop_front();
            lock.unlock();
            job->help();
            lock.lock();
            continue;
        }
        Block block = std::move(wanted_.front());
        wanted_.pop_front();
        lock.unlock();
        try {
            block.reader->touch(block.start, block.count);
        } catch (const std::exception&) {  // the reading itself will say it
        }
        block.reader.reset();  // may be the last one: its files are closed without the lock
        lock.lock();
    }
}

std::size_t ReadAhead::threads() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return threads_.size();
}

std::size_t ReadAhead::waiting() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return wanted_.size();
}

}  // namespace heph
