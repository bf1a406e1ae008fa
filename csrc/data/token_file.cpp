#include "token_file.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

namespace heph {

namespace {

// A read from the page cache takes some microseconds; a disk or a network takes a hundred and more.
constexpr std::uint64_t kSlowNs = 60000;

// The kernel heeds no more of an advice than its readahead (128 KiB by default) or the device's largest request.
constexpr std::size_t kAdvice = std::size_t{128} << 10;

void add(std::atomic<std::uint64_t>& counter, std::uint64_t value) {
    counter.fetch_add(value, std::memory_order_relaxed);
}

// File systems that cannot answer; EINVAL comes of kernels before 4.14.
bool cannot_tell(int number) { return number == EOPNOTSUPP || number == ENOSYS || number == EINVAL || number == EPERM; }

}  // namespace

std::atomic<std::size_t> TokenFile::open_{0};

TokenFile::TokenFile(std::string path, ReadCounters& counters)
    : file_(std::move(path)), bytes_(file_.size()), counters_(counters) {
    // Else the kernel takes a read in the middle of nowhere for the beginning of a scan, and fetches up to four times
    // as much (get_init_ra_size); also for a preadv2 that may not wait.
    ::posix_fadvise(file_.fd(), 0, 0, POSIX_FADV_RANDOM);
    open_.fetch_add(1, std::memory_order_relaxed);
}

TokenFile::~TokenFile() { open_.fetch_sub(1, std::memory_order_relaxed); }

void TokenFile::read(std::uint64_t offset, void* out, std::size_t size, Wait wait) const {
    if (size == 0) return;
    bool unknown = false;
    const std::size_t had = read_cached(offset, out, size, unknown);
    if (had < size) {
        const bool slow = unknown && counters_.mean_unknown_ns.load(std::memory_order_relaxed) > kSlowNs;
        if (wait == Wait::no && (slow || !unknown)) throw ColdRead{};
        const auto begin = std::chrono::steady_clock::now();
        read_waiting(offset + had, static_cast<char*>(out) + had, size - had);
        const auto spent = static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - begin).count());
        add(unknown ? counters_.unknown_reads : counters_.cold_reads, 1);
        add(counters_.waited_ns, spent);
        if (unknown) {  // a lost update of the mean does no harm
            const std::uint64_t mean = counters_.mean_unknown_ns.load(std::memory_order_relaxed);
            counters_.mean_unknown_ns.store(mean - mean / 8 + spent / 8, std::memory_order_relaxed);
        }
    }
    add(counters_.reads, 1);
    add(counters_.bytes, size);
}

std::size_t TokenFile::read_cached(std::uint64_t offset, void* out, std::size_t size, bool& unknown) const {
    struct iovec part = {out, size};
    const ssize_t count = ::preadv2(file_.fd(), &part, 1, static_cast<off_t>(offset), RWF_NOWAIT);
    if (count >= 0) return static_cast<std::size_t>(count);
    unknown = cannot_tell(errno);
    if (!unknown && errno != EAGAIN && errno != EINTR) throw FileError("read the file", path(), errno);
    return 0;
}

void TokenFile::read_waiting(std::uint64_t offset, void* out, std::size_t size) const {
    auto* bytes = static_cast<char*>(out);
    const std::uint64_t end = offset + size;
    while (offset < end) {
        const ssize_t count = ::pread(file_.fd(), bytes, static_cast<std::size_t>(end - offset), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw FileError("read the file", path(), errno);
        if (count == 0) {
            throw std::invalid_argument(path() + " has shrunk: it had " + std::to_string(bytes_) +
                                        " bytes when it was opened, and ends before byte " + std::to_string(end) +
                                        ", at " + std::to_string(file_.size()) +
                                        ", now. Something cuts or writes it while it is read: copy it again, or run "
                                        "`heph tokenize` again.");
        }
        bytes += count;
        offset += static_cast<std::uint64_t>(count);
    }
}

void TokenFile::touch(std::uint64_t offset, std::size_t size) const {
    // All of it is with the disk at once, and no byte is copied.  Where a file system does not heed it, the reading
    // itself fetches the bytes.
    for (std::size_t done = 0; done < size; done += kAdvice) {
        ::posix_fadvise(file_.fd(), static_cast<off_t>(offset + done), static_cast<off_t>(std::min(kAdvice, size - done)),
                        POSIX_FADV_WILLNEED);
    }
    add(counters_.ahead_bytes, size);
}

}  // namespace heph
