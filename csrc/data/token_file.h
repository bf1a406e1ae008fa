// A file that many threads read at any place, and that tells what was not in the page cache.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "partial_file.h"

namespace heph {

// What reading has cost so far; the numbers of one reader.
struct ReadCounters {
    std::atomic<std::uint64_t> bytes{0};
    std::atomic<std::uint64_t> reads{0};
    std::atomic<std::uint64_t> cold_reads{0};     // that had to wait for the disk
    std::atomic<std::uint64_t> unknown_reads{0};  // of a file system that does not tell
    std::atomic<std::uint64_t> waited_ns{0};      // in cold and unknown reads, summed over threads
    std::atomic<std::uint64_t> ahead_bytes{0};    // read only to have them in the page cache

    // Of unknown reads the running mean.  It stands for what the file system does not tell: where they take long,
    // they are taken as cold.
    std::atomic<std::uint64_t> mean_unknown_ns{0};
};

// Whether a read may wait for the disk.
enum class Wait { yes, no };

// What a read that may not wait throws, if it would have to.
struct ColdRead {};

class TokenFile {
public:
    TokenFile(std::string path, ReadCounters& counters);
    ~TokenFile();
    TokenFile(const TokenFile&) = delete;
    TokenFile& operator=(const TokenFile&) = delete;

    // All of [offset, offset + size).  Throws std::invalid_argument if the file ends before, as it has shrunk;
    // FileError; ColdRead.
    void read(std::uint64_t offset, void* out, std::size_t size, Wait wait) const;
    // Has the bytes fetched into the page cache, and does not wait for them.
    void touch(std::uint64_t offset, std::size_t size) const;

    std::uint64_t bytes() const { return bytes_; }  // when it was opened
    const std::string& path() const { return file_.path(); }
    const SourceFile& source() const { return file_; }

    // Files of this kind that the process has open.
    static std::size_t open_files() { return open_.load(std::memory_order_relaxed); }

private:
    std::size_t read_cached(std::uint64_t offset, void* out, std::size_t size, bool& unknown) const;
    void read_waiting(std::uint64_t offset, void* out, std::size_t size) const;

    SourceFile file_;
    std::uint64_t bytes_;
    ReadCounters& counters_;
    static std::atomic<std::size_t> open_;
};

}  // namespace heph
