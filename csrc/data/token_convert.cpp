#include "token_convert.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "index_file.h"

namespace heph {

namespace {

constexpr std::size_t kAtOnce = 4096;  // ids in the buffer of a conversion

// A negative id is a large one when its sign is read as a bit, so that one comparison finds both; a loop without
// a branch, for the vector units.
template <typename Raw>
std::uint64_t largest(const Raw* ids, std::size_t count) {
    using Unsigned = std::make_unsigned_t<Raw>;
    Unsigned most = 0;
    for (std::size_t i = 0; i < count; ++i) most = std::max(most, static_cast<Unsigned>(ids[i]));
    return most;
}

template <typename Raw>
std::size_t first_bad(const Raw* ids, std::size_t count, std::uint64_t limit) {
    using Unsigned = std::make_unsigned_t<Raw>;
    for (std::size_t i = 0; i < count; ++i) {
        if (static_cast<Unsigned>(ids[i]) >= limit) return i;
    }
    return count;
}

// Of a signed type only the lower half are ids.
template <typename Raw>
std::uint64_t limit_of(std::uint64_t limit) {
    return std::min(limit, static_cast<std::uint64_t>(std::numeric_limits<Raw>::max()) + 1);
}

template <typename Raw>
bool fits(const Raw* ids, std::size_t count, std::uint64_t limit) {
    return count == 0 || largest(ids, count) < limit;
}

template <typename Raw, typename Id>
std::uint64_t read_as(const TokenFile& bin, std::uint64_t first, std::uint64_t count, Id* out, std::uint64_t limit,
                      Wait wait) {
    limit = limit_of<Raw>(std::min(limit, static_cast<std::uint64_t>(std::numeric_limits<Id>::max()) + 1));
    if constexpr (std::is_same_v<Raw, Id>) {
        bin.read(first * sizeof(Raw), out, count * sizeof(Raw), wait);
        return fits(out, count, limit) ? count : first_bad(out, count, limit);
    } else {
        Raw raw[kAtOnce];
        for (std::uint64_t done = 0; done < count;) {
            const auto some = static_cast<std::size_t>(std::min<std::uint64_t>(count - done, kAtOnce));
            bin.read((first + done) * sizeof(Raw), raw, some * sizeof(Raw), wait);
            if (!fits(raw, some, limit)) return done + first_bad(raw, some, limit);
            for (std::size_t i = 0; i < some; ++i) out[done + i] = static_cast<Id>(raw[i]);
            done += some;
        }
        return count;
    }
}

// Calls body with a value of the type that a code stands for.
template <typename Body>
auto with_type(int code, Body body) {
    switch (code) {
        case TokenType::uint8: return body(std::uint8_t{});
        case TokenType::int8: return body(std::int8_t{});
        case TokenType::int16: return body(std::int16_t{});
        case TokenType::int64: return body(std::int64_t{});
        case TokenType::uint16: return body(std::uint16_t{});
        default: return body(std::int32_t{});
    }
}

}  // namespace

template <typename Id>
std::uint64_t read_ids(const TokenFile& bin, int code, std::uint64_t first, std::uint64_t count, Id* out,
                       std::uint64_t limit, Wait wait) {
    return with_type(code, [&](auto raw) { return read_as<decltype(raw)>(bin, first, count, out, limit, wait); });
}

template std::uint64_t read_ids(const TokenFile&, int, std::uint64_t, std::uint64_t, std::uint16_t*, std::uint64_t, Wait);
template std::uint64_t read_ids(const TokenFile&, int, std::uint64_t, std::uint64_t, std::int32_t*, std::uint64_t, Wait);

void read_id(const TokenFile& bin, int code, std::uint64_t token, std::int64_t& id) {
    with_type(code, [&](auto raw) {
        bin.read(token * sizeof(raw), &raw, sizeof(raw), Wait::yes);
        id = static_cast<std::int64_t>(raw);
        return 0;
    });
}

}  // namespace heph
