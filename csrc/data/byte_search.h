// The ends of plain runs inside JSON strings, 16 bytes at a time.
//
// GCC's and Clang's vector extensions compile for every processor; only the step from 16 flags to a position
// differs: x86 has an instruction for it, the others look at two halves of 8 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace heph {

constexpr std::size_t kVectorBytes = 16;
using ByteVector = signed char __attribute__((vector_size(kVectorBytes)));

// A byte that is not itself in a JSON string: the quote, the backslash, a control character; and the bytes of
// UTF-8 sequences, which have to be checked.
inline bool is_special(unsigned char byte) { return byte == '"' || byte == '\\' || byte < 0x20 || byte >= 0x80; }

// The first special byte of 16, or 16.
inline std::size_t first_special(ByteVector bytes) {
    // As signed numbers, bytes from 0x80 on are negative: one comparison finds them and the control characters.
    const ByteVector flags = (bytes == '"') | (bytes == '\\') | (bytes < 0x20);
#if defined(__SSE2__)
    __m128i raw;
    std::memcpy(&raw, &flags, sizeof(raw));
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(raw));
    return static_cast<std::size_t>(__builtin_ctz(mask | 1u << kVectorBytes));
#else
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte is the lowest");
    std::uint64_t halves[2];
    std::memcpy(halves, &flags, sizeof(halves));
    if (halves[0] != 0) return static_cast<std::size_t>(__builtin_ctzll(halves[0])) / 8;
    return halves[1] != 0 ? 8 + static_cast<std::size_t>(__builtin_ctzll(halves[1])) / 8 : kVectorBytes;
#endif
}

// Moves `at` to the first special byte before `end` (else to `end`).  With Copy the bytes up to it are written
// to `out`, which moves with it and must have kVectorBytes of room beyond what is copied.
template <bool Copy>
inline void skip_plain(const unsigned char*& at, const unsigned char* end, unsigned char*& out) {
    while (static_cast<std::size_t>(end - at) >= kVectorBytes) {
        ByteVector bytes;
        std::memcpy(&bytes, at, kVectorBytes);
        if (Copy) std::memcpy(out, &bytes, kVectorBytes);
        const std::size_t plain = first_special(bytes);
        at += plain;
        if (Copy) out += plain;
        if (plain < kVectorBytes) return;
    }
    for (; at < end && !is_special(*at); ++at) {
        if (Copy) *out++ = *at;
    }
}

}  // namespace heph
