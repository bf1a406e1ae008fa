// Streams token ids into Megatron's `.bin/.idx` pair.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace heph {

// A failed system call: what was being done, on which file, and errno.
class FileError : public std::runtime_error {
public:
    FileError(std::string doing, std::string path, int number);
    const std::string& path() const { return path_; }
    int number() const { return number_; }

private:
    std::string path_;
    int number_;
};

// A file that is written under `<path>.partial`, and takes its name when it is complete and on the disk.
class PartialFile {
public:
    explicit PartialFile(std::string path);
    ~PartialFile();
    PartialFile(const PartialFile&) = delete;
    PartialFile& operator=(const PartialFile&) = delete;

    void write(const void* data, std::size_t size);
    void sync();     // to the disk; no write may follow
    void publish();  // rename over `path`; after sync
    void discard() noexcept;
    const std::string& path() const { return path_; }

private:
    std::string path_;
    std::string partial_;
    int fd_ = -1;
    bool pending_ = false;  // the .partial exists
};

// Writes `<prefix>.bin` as documents come, and `<prefix>.idx` at the end.
//
// Ids are checked against the vocabulary while they are narrowed: an id that would wrap around is an error
// and never another token.  After an error nothing more is accepted, and the partial file is removed.
// One thread at a time.
class IndexedWriter {
public:
    static constexpr std::int64_t no_end = -1;

    IndexedWriter(std::string prefix, std::uint64_t vocab_size, std::size_t buffer_bytes);

    // Appends documents: `lengths[i]` ids each, one after the other in `ids`, and `end` after each of them
    // unless it is `no_end`.  Every document is one sequence.
    template <typename Id>
    void append(const Id* ids, std::size_t id_count, const std::int64_t* lengths, std::size_t documents,
                std::int64_t end);

    void finalize();
    void abort() noexcept;

    std::uint64_t tokens() const { return tokens_; }
    std::uint64_t documents() const { return lengths_.size(); }
    std::size_t item_size() const { return item_size_; }

private:
    void require_open() const;
    void check_lengths(std::size_t id_count, const std::int64_t* lengths, std::size_t documents,
                       std::int64_t end) const;
    template <typename Token, typename Id>
    void append_documents(const Id* ids, const std::int64_t* lengths, std::size_t documents, std::int64_t end);
    template <typename Token, typename Id>
    void put(const Id* ids, std::size_t count);
    void flush();
    void write_index(PartialFile& file) const;

    std::string prefix_;
    std::uint64_t vocab_size_;
    std::size_t item_size_;
    PartialFile bin_;
    std::vector<unsigned char> buffer_;
    std::size_t used_ = 0;               // bytes of buffer_ that wait to be written
    std::uint64_t tokens_ = 0;
    std::vector<std::int32_t> lengths_;  // 4 bytes per document is all that is kept in memory
    bool open_ = true;
};

}  // namespace heph
