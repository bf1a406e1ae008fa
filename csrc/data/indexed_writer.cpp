#include "indexed_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>

namespace heph {

namespace {

constexpr char kMagic[9] = {'M', 'M', 'I', 'D', 'I', 'D', 'X', '\0', '\0'};
constexpr std::uint64_t kVersion = 1;
constexpr std::uint8_t kCodeInt32 = 4;
constexpr std::uint8_t kCodeUint16 = 8;
constexpr std::uint64_t kUint16Limit = 65500;  // Megatron's rule: uint16 below it, int32 from it on

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the files are little-endian");

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

// Collects small writes: the index is three arrays, two of which are computed on the way out.
class Batch {
public:
    explicit Batch(PartialFile& file) : file_(file) { bytes_.reserve(kBytes + 64); }
    template <typename Value>
    void put(Value value) {
        const auto* raw = reinterpret_cast<const unsigned char*>(&value);
        bytes_.insert(bytes_.end(), raw, raw + sizeof(Value));
        if (bytes_.size() >= kBytes) flush();
    }
    void flush() {
        file_.write(bytes_.data(), bytes_.size());
        bytes_.clear();
    }

private:
    static constexpr std::size_t kBytes = 1 << 20;
    PartialFile& file_;
    std::vector<unsigned char> bytes_;
};

}  // namespace

FileError::FileError(std::string doing, std::string path, int number)
    : std::runtime_error("cannot " + doing + ": " + std::strerror(number)), path_(std::move(path)), number_(number) {}

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

IndexedWriter::IndexedWriter(std::string prefix, std::uint64_t vocab_size, std::size_t buffer_bytes)
    : prefix_(std::move(prefix)),
      vocab_size_(vocab_size),
      item_size_(vocab_size < kUint16Limit ? sizeof(std::uint16_t) : sizeof(std::int32_t)),
      bin_(prefix_ + ".bin") {
    if (vocab_size == 0 || vocab_size > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max())) {
        throw std::invalid_argument("a vocabulary has 1 to 2147483647 tokens, not " + std::to_string(vocab_size));
    }
    buffer_.resize(std::max<std::size_t>(buffer_bytes / 8 * 8, 8));  // whole tokens of either size
}

void IndexedWriter::require_open() const {
    if (!open_) throw std::runtime_error("the writer of " + prefix_ + " is closed: it was finalized, or failed before");
}

void IndexedWriter::check_lengths(std::size_t id_count, const std::int64_t* lengths, std::size_t documents,
                                  std::int64_t end) const {
    if (end != no_end && (end < 0 || static_cast<std::uint64_t>(end) >= vocab_size_)) {
        throw std::invalid_argument("the end token " + std::to_string(end) + " is not in a vocabulary of " +
                                    std::to_string(vocab_size_) + " tokens");
    }
    const std::int64_t most = std::numeric_limits<std::int32_t>::max() - (end != no_end ? 1 : 0);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < documents; ++i) {
        if (lengths[i] < 0 || lengths[i] > most) {
            throw std::invalid_argument("document " + std::to_string(lengths_.size() + i) + " has " +
                                        std::to_string(lengths[i]) + " tokens; an index holds 0 to " +
                                        std::to_string(most));
        }
        sum += static_cast<std::uint64_t>(lengths[i]);
    }
    if (sum != id_count) {
        throw std::invalid_argument("the lengths sum to " + std::to_string(sum) + ", but there are " +
                                    std::to_string(id_count) + " ids");
    }
}

template <typename Id>
void IndexedWriter::append(const Id* ids, std::size_t id_count, const std::int64_t* lengths, std::size_t documents,
                           std::int64_t end) {
    require_open();
    try {
        check_lengths(id_count, lengths, documents, end);
        if (item_size_ == sizeof(std::uint16_t)) {
            append_documents<std::uint16_t>(ids, lengths, documents, end);
        } else {
            append_documents<std::int32_t>(ids, lengths, documents, end);
        }
    } catch (...) {
        abort();  // part of this call may be written: the file is not to be trusted
        throw;
    }
}

template <typename Token, typename Id>
void IndexedWriter::append_documents(const Id* ids, const std::int64_t* lengths, std::size_t documents,
                                     std::int64_t end) {
    for (std::size_t i = 0; i < documents; ++i) {
        put<Token>(ids, static_cast<std::size_t>(lengths[i]));
        ids += lengths[i];
        if (end != no_end) put<Token>(&end, 1);
        lengths_.push_back(static_cast<std::int32_t>(lengths[i] + (end != no_end ? 1 : 0)));
    }
}

template <typename Token, typename Id>
void IndexedWriter::put(const Id* ids, std::size_t count) {
    while (count > 0) {
        if (used_ == buffer_.size()) flush();
        const std::size_t room = std::min(count, (buffer_.size() - used_) / sizeof(Token));
        auto* out = buffer_.data() + used_;
        bool outside = false;
        for (std::size_t i = 0; i < room; ++i) {  // no branch in the loop: the compiler vectorizes it
            // A negative id becomes a huge one here, so that one comparison finds both.
            outside |= static_cast<std::uint64_t>(static_cast<std::int64_t>(ids[i])) >= vocab_size_;
            const Token token = static_cast<Token>(ids[i]);
            std::memcpy(out + i * sizeof(Token), &token, sizeof(Token));
        }
        if (outside) {
            const Id* bad = std::find_if(ids, ids + room, [this](Id id) {
                return static_cast<std::uint64_t>(static_cast<std::int64_t>(id)) >= vocab_size_;
            });
            throw std::out_of_range("token id " + std::to_string(*bad) + " at token " +
                                    std::to_string(tokens_ + static_cast<std::uint64_t>(bad - ids)) + " (document " +
                                    std::to_string(lengths_.size()) + ") is not in a vocabulary of " +
                                    std::to_string(vocab_size_) + " tokens");
        }
        used_ += room * sizeof(Token);
        tokens_ += room;
        ids += room;
        count -= room;
    }
}

void IndexedWriter::flush() {
    bin_.write(buffer_.data(), used_);
    used_ = 0;
}

void IndexedWriter::write_index(PartialFile& file) const {
    Batch out(file);
    for (const char letter : kMagic) out.put(letter);
    out.put(kVersion);
    out.put(item_size_ == sizeof(std::uint16_t) ? kCodeUint16 : kCodeInt32);
    out.put(static_cast<std::uint64_t>(lengths_.size()));
    out.put(static_cast<std::uint64_t>(lengths_.size() + 1));
    for (const std::int32_t length : lengths_) out.put(length);
    std::int64_t pointer = 0;
    for (const std::int32_t length : lengths_) {
        out.put(pointer);
        pointer += static_cast<std::int64_t>(length) * static_cast<std::int64_t>(item_size_);
    }
    for (std::size_t i = 0; i <= lengths_.size(); ++i) out.put(static_cast<std::int64_t>(i));
    out.flush();
}

void IndexedWriter::finalize() {
    require_open();
    try {
        flush();
        bin_.sync();
        PartialFile index(prefix_ + ".idx");
        write_index(index);
        index.sync();
        // An old index must not meet the new .bin, not even if the machine stops between the two renames.
        if (::unlink(index.path().c_str()) != 0 && errno != ENOENT) {
            throw FileError("remove the old file", index.path(), errno);
        }
        bin_.publish();
        index.publish();
        sync_folder(prefix_);
        open_ = false;
    } catch (...) {
        abort();
        throw;
    }
}

void IndexedWriter::abort() noexcept {
    open_ = false;
    bin_.discard();
}

#define HEPH_APPEND(Id) \
    template void IndexedWriter::append(const Id*, std::size_t, const std::int64_t*, std::size_t, std::int64_t);
HEPH_APPEND(std::uint16_t)
HEPH_APPEND(std::int32_t)
HEPH_APPEND(std::uint32_t)
HEPH_APPEND(std::int64_t)
#undef HEPH_APPEND

}  // namespace heph
