// Zeroed memory for tables that are looked up at random.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

namespace heph {

// An array of zeros that the kernel may back with huge pages: a look-up then seldom misses the TLB.
template <typename Value>
class HugeArray {
    static_assert(std::is_trivially_destructible_v<Value>, "memory is only given back");

public:
    HugeArray() = default;
    explicit HugeArray(std::size_t size) : bytes_((size * sizeof(Value) + kPage - 1) / kPage * kPage) {
        if (bytes_ == 0) return;
        if (size > SIZE_MAX / 2 / sizeof(Value)) throw std::bad_alloc();
        const std::size_t spare = bytes_ >= kHuge ? kHuge : 0;  // to begin at a huge page
        void* made = ::mmap(nullptr, bytes_ + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (made == MAP_FAILED) throw std::bad_alloc();
        auto begin = reinterpret_cast<std::uintptr_t>(made);
        if (spare != 0) {
            const std::uintptr_t aligned = (begin + kHuge - 1) / kHuge * kHuge;
            if (aligned > begin) ::munmap(made, aligned - begin);
            const std::uintptr_t tail = begin + spare - aligned;
            if (tail > 0) ::munmap(reinterpret_cast<void*>(aligned + bytes_), tail);
            begin = aligned;
            ::madvise(reinterpret_cast<void*>(begin), bytes_, MADV_HUGEPAGE);
        }
        values_ = reinterpret_cast<Value*>(begin);
    }
    HugeArray(HugeArray&& other) noexcept
        : values_(std::exchange(other.values_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    HugeArray& operator=(HugeArray&& other) noexcept {
        std::swap(values_, other.values_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~HugeArray() {
        if (values_ != nullptr) ::munmap(static_cast<void*>(values_), bytes_);
    }

    Value& operator[](std::size_t i) { return values_[i]; }
    const Value& operator[](std::size_t i) const { return values_[i]; }

private:
    static constexpr std::size_t kPage = 4096;
    static constexpr std::size_t kHuge = std::size_t{2} << 20;

    Value* values_ = nullptr;
    std::size_t bytes_ = 0;
};

}  // namespace heph
