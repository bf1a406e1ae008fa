// The ends of plain runs inside JSON strings, 16 bytes at a time.
//
// GCC's and Clang's vector extensions compile for every processor.  Only the step from 16 flags to a number
// differs: x86 has an instruction for it, the others multiply (HEPH_PORTABLE_VECTORS: x86 too, to test that).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__) && !defined(HEPH_PORTABLE_VECTORS)
#include <emmintrin.h>
#define HEPH_SSE2 1
#endif

namespace heph {

constexpr std::size_t kVectorBytes = 16;
using ByteVector = signed char __attribute__((vector_size(kVectorBytes)));

// A byte that is not itself in a JSON string: the quote, the backslash, a control character; and the bytes of
// UTF-8 sequences, which have to be checked.
inline bool is_special(unsigned char byte) { return byte == '"' || byte == '\\' || byte < 0x20 || byte >= 0x80; }

// Bit i is set where byte i of 16 is special.
inline unsigned special_bits(ByteVector bytes) {
    // As signed numbers, bytes from 0x80 on are negative: one comparison finds them and the control characters.
    const ByteVector flags = (bytes == '"') | (bytes == '\\') | (bytes < 0x20);
#if defined(HEPH_SSE2)
    __m128i raw;
    std::memcpy(&raw, &flags, sizeof(raw));
    return static_cast<unsigned>(_mm_movemask_epi8(raw));
#else
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte is the lowest");
    std::uint64_t halves[2];
    std::memcpy(halves, &flags, sizeof(halves));
    // One bit of each byte, moved by the product to the highest byte.
    const auto gather = [](std::uint64_t half) {
        return static_cast<unsigned>((half & 0x0101010101010101u) * 0x0102040810204080u >> 56);
    };
    return gather(halves[0]) | gather(halves[1]) << 8;
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
        const unsigned bits = special_bits(bytes);
        if (bits != 0) {
            at += __builtin_ctz(bits);
            if (Copy) out += __builtin_ctz(bits);
            return;
        }
        at += kVectorBytes;  // a fixed step: the next load does not wait for the comparison
        if (Copy) out += kVectorBytes;
    }
    for (; at < end && !is_special(*at); ++at) {
        if (Copy) *out++ = *at;
    }
}

}  // namespace heph
