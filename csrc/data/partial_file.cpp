#include "partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

namespace heph {

namespace {

constexpr std::uint64_t kCopyAtOnce = std::uint64_t{1} << 30;
constexpr std::uint64_t kReadAtOnce = std::uint64_t{1} << 20;

// What a kernel says that cannot copy between these two files: other file systems, none of the two able, a
// sandbox that does not know the call.
bool cannot_copy(int number) {
    return number == EXDEV || number == EINVAL || number == ENOSYS || number == EOPNOTSUPP || number == EPERM;
}

}  // namespace

FileError::FileError(std::string doing, std::string path, int number)
    : std::runtime_error("cannot " + doing + ": " + std::strerror(number)), path_(std::move(path)), number_(number) {}

SourceFile::SourceFile(std::string path) : path_(std::move(path)) {
    fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) throw FileError("open the file", path_, errno);
}

SourceFile::~SourceFile() {
    if (fd_ >= 0) ::close(fd_);
}

void SourceFile::read(std::uint64_t offset, void* out, std::size_t size) const {
    auto* bytes = static_cast<char*>(out);
    while (size > 0) {
        const ssize_t count = ::pread(fd_, bytes, size, static_cast<off_t>(offset));
        if (count < 0) {
            if (errno == EINTR) continue;
            throw FileError("read the file", path_, errno);
        }
        if (count == 0) {
            throw std::invalid_argument(path_ + " ends at byte " + std::to_string(offset) + ", " + std::to_string(size) +
                                        " bytes too early: it was cut short while it was read. Copy it again.");
        }
        bytes += count;
        offset += static_cast<std::uint64_t>(count);
        size -= static_cast<std::size_t>(count);
    }
}

std::uint64_t SourceFile::size() const {
    struct stat status {};
    if (::fstat(fd_, &status) != 0) throw FileError("read the size of the file", path_, errno);
    return static_cast<std::uint64_t>(status.st_size);
}

PartialFile::PartialFile(std::string path) : path_(std::move(path)), partial_(path_ + ".partial") {
    fd_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd_ < 0) throw FileError("create the file", partial_, errno);
    pending_ = true;
}

PartialFile::~PartialFile() { discard(); }

void PartialFile::write(const void* data, std::size_t size) {
    const auto* bytes = static_cast<const char*>(data);
    while (size > 0) {
        const ssize_t written = ::write(fd_, bytes, size);
        if (written < 0) {
            if (errno == EINTR) continue;
            throw FileError("write the file", partial_, errno);
        }
        bytes += written;
        size -= static_cast<std::size_t>(written);
    }
}

void PartialFile::copy(const SourceFile& source, std::uint64_t offset, std::uint64_t size) {
    const std::uint64_t done = copy_in_kernel(source, offset, size);
    offset += done;
    size -= done;
    std::vector<char> piece(std::min(size, kReadAtOnce));
    while (size > 0) {
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(size, piece.size()));
        source.read(offset, piece.data(), count);
        write(piece.data(), count);
        offset += count;
        size -= count;
    }
}

std::uint64_t PartialFile::copy_in_kernel(const SourceFile& source, std::uint64_t offset, std::uint64_t size) {
    std::uint64_t done = 0;
    auto from = static_cast<off_t>(offset);
    while (done < size) {
        const auto most = static_cast<std::size_t>(std::min(size - done, kCopyAtOnce));
        const ssize_t count = ::copy_file_range(source.fd(), &from, fd_, nullptr, most, 0);
        if (count < 0) {
            if (errno == EINTR) continue;
            if (cannot_copy(errno)) break;
            throw FileError("write the file", partial_, errno);
        }
        if (count == 0) break;  // the end; some file systems say so at once, and a read knows better
        done += static_cast<std::uint64_t>(count);
    }
    return done;
}

void PartialFile::sync() {
    if (::fsync(fd_) != 0) throw FileError("sync the file", partial_, errno);
    // Network file systems report a full disk or quota only here.
    const int failed = ::close(std::exchange(fd_, -1)) == 0 ? 0 : errno;
    if (failed != 0) throw FileError("close the file", partial_, failed);
}

void PartialFile::publish() {
    if (::rename(partial_.c_str(), path_.c_str()) != 0) throw FileError("rename the file", partial_, errno);
    pending_ = false;
}

void PartialFile::discard() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    if (pending_) ::unlink(partial_.c_str());
    pending_ = false;
}

void sync_folder(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) throw FileError("open the folder", folder, errno);
    const int failed = ::fsync(fd) == 0 ? 0 : errno;
    ::close(fd);
    // Some network file systems cannot sync a folder and say so; the rename itself has been done.
    if (failed != 0 && failed != EINVAL) throw FileError("sync the folder", folder, failed);
}

}  // namespace heph
