// Files that have their name only when they are complete.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

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

// A file that is only read.
class SourceFile {
public:
    explicit SourceFile(std::string path);
    ~SourceFile();
    SourceFile(const SourceFile&) = delete;
    SourceFile& operator=(const SourceFile&) = delete;

    // Throws FileError, and std::invalid_argument if the file ends before.
    void read(std::uint64_t offset, void* out, std::size_t size) const;
    std::uint64_t size() const;
    int fd() const { return fd_; }
    const std::string& path() const { return path_; }

private:
    std::string path_;
    int fd_ = -1;
};

// A file that is written under `<path>.partial`, and takes its name when it is complete and on the disk.
class PartialFile {
public:
    explicit PartialFile(std::string path);
    ~PartialFile();
    PartialFile(const PartialFile&) = delete;
    PartialFile& operator=(const PartialFile&) = delete;

    void write(const void* data, std::size_t size);
    // Appends [offset, offset + size) of another file, inside the kernel where that is possible.
    void copy(const SourceFile& source, std::uint64_t offset, std::uint64_t size);
    void sync();     // to the disk; no write may follow
    void publish();  // rename over `path`; after sync
    void discard() noexcept;
    const std::string& path() const { return path_; }

private:
    // Bytes that the kernel copied: fewer where it cannot.
    std::uint64_t copy_in_kernel(const SourceFile& source, std::uint64_t offset, std::uint64_t size);

    std::string path_;
    std::string partial_;
    int fd_ = -1;
    bool pending_ = false;  // the .partial exists
};

// Brings the names in a file's folder to the disk.
void sync_folder(const std::string& path);

}  // namespace heph
