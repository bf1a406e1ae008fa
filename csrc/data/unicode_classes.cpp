#include "unicode_classes.h"

#include <cstring>
#include <iterator>
#include <map>
#include <string>

#include "unicode_runs.h"

namespace heph {

namespace {

// Two levels: equal pages of 256 code points are stored once.
struct Pages {
    std::uint8_t page_of[0x1100] = {};
    std::uint8_t pages[kUnicodePages][256] = {};

    Pages() {
        std::map<std::string, std::uint8_t> known;
        std::string page(256, '\0');
        const std::uint32_t* run = kUnicodeRuns;
        for (std::uint32_t code = 0; code < 0x110000; ++code) {
            while (run + 1 < std::end(kUnicodeRuns) && run[1] >> 8 <= code) ++run;
            page[code & 255] = static_cast<char>(*run & 255);
            if ((code & 255) != 255) continue;
            const auto [at, added] = known.emplace(page, static_cast<std::uint8_t>(known.size()));
            if (added) std::memcpy(pages[at->second], page.data(), page.size());
            page_of[code >> 8] = at->second;
        }
    }
};

const Pages kPages;

}  // namespace

const std::uint8_t* const kUnicodePageOf = kPages.page_of;
const std::uint8_t (*const kUnicodeClass)[256] = kPages.pages;

}  // namespace heph
