// A JSON document without its bulk: the few fields around it are then read by any JSON reader.
//
// Lists of numbers (and, of an event, its body) are found by their characters alone, sixteen at a time. What is in
// them is looked at when it is known what they are for.

#include "native.h"

enum { NO_ROOM = -1, NOT_HERE = -2 };
enum { SHORTEST_LIST = 64, SHORTEST_BODY = 256, LOOKED_AT_IN_VAIN = 4 };

typedef struct {
    uint64_t start, end;  // of the list with its brackets; of the body without its quotes
    uint64_t size;        // the list's commas; the body's bytes once its escapes are resolved
    uint64_t is_body;
} Span;

static const uint8_t PLACEHOLDER[] = {'N', 'a', 'N'};

static bool is_in_list(uint8_t c) {
    return (c >= '+' && c <= '9' && c != '/') || (c | 0x20) == 'e' || c == '[' || c == ']' || is_space(c);
}

// The same for sixteen: one bit each.
static uint32_t are_in_list(bytes16 c) {
    bytes16 numeric = (bytes16)((c - '+') <= '9' - '+') & (bytes16)(c != '/');
    bytes16 space = (bytes16)(c == ' ') | (bytes16)(c == '\n') | (bytes16)(c == '\r') | (bytes16)(c == '\t');
    bytes16 bracket = (bytes16)(c == '[') | (bytes16)(c == ']');
    return mask16(numeric | (bytes16)((c | 0x20) == 'e') | bracket | space);
}

// Where the list that begins at `start` ends, after its bracket, and its commas; 0 where anything but numbers is in
// it, or its end is not: `position` says how far that was found out.
static uint64_t end_of_list(const uint8_t *text, uint64_t start, uint64_t length, uint64_t *commas, uint64_t *position) {
    uint32_t depth = 0;
    uint64_t i = start, count = 0;
    while (i < length) {
        if (i + 16 <= length) {
            bytes16 block = load16(text + i);
            uint32_t closed = (uint32_t)__builtin_popcount(mask16((bytes16)(block == ']')));
            if (are_in_list(block) == 0xFFFF && (!closed || closed < depth)) {
                depth += (uint32_t)__builtin_popcount(mask16((bytes16)(block == '['))) - closed;
                count += (uint32_t)__builtin_popcount(mask16((bytes16)(block == ',')));
                i += 16;
                continue;
            }
        }
        // The list may end in this block: letter by letter.
        for (uint64_t end = i + 16 < length ? i + 16 : length; i < end; i++) {
            uint8_t c = text[i];
            if (!is_in_list(c)) {
                *position = i;
                return 0;
            }
            count += c == ',';
            depth += c == '[';
            if (c == ']' && --depth == 0) {
                *commas = count;
                return i + 1;
            }
        }
    }
    *position = i;
    return 0;
}

static int32_t hex4(const uint8_t *text) {
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = text[i], letter = c | 0x20;
        if (c >= '0' && c <= '9') value = value << 4 | (c - '0');
        else if (letter >= 'a' && letter <= 'f') value = value << 4 | (letter - 'a' + 10);
        else return -1;
    }
    return value;
}

// The escape at `text`, of which `left` bytes are there, as UTF-8 (half of a surrogate pair as if it were a letter).
// Returns how many bytes of the text it takes, 0 where it is none; `*written` is how many it becomes, at most 4.
static uint32_t resolve_escape(const uint8_t *text, uint64_t left, uint8_t *utf8, uint32_t *written) {
    static const uint8_t NAMES[] = "\"\\/bfnrt", LETTERS[] = "\"\\/\b\f\n\r\t";
    if (left < 2) return 0;
    *written = 1;
    for (uint32_t i = 0; i < sizeof NAMES - 1; i++)
        if (text[1] == NAMES[i]) {
            utf8[0] = LETTERS[i];
            return 2;
        }
    if (text[1] != 'u' || left < 6) return 0;
    int32_t letter = hex4(text + 2);
    if (letter < 0) return 0;
    if (letter >= 0xD800 && letter < 0xDC00 && left >= 12 && text[6] == '\\' && text[7] == 'u') {
        int32_t low = hex4(text + 8);
        if (low >= 0xDC00 && low < 0xE000) {
            letter = 0x10000 + ((letter - 0xD800) << 10) + (low - 0xDC00);
            utf8[0] = (uint8_t)(0xF0 | letter >> 18);
            utf8[1] = (uint8_t)(0x80 | (letter >> 12 & 0x3F));
            utf8[2] = (uint8_t)(0x80 | (letter >> 6 & 0x3F));
            utf8[3] = (uint8_t)(0x80 | (letter & 0x3F));
            *written = 4;
            return 12;
        }
    }
    if (letter < 0x80) {
        utf8[0] = (uint8_t)letter;
    } else if (letter < 0x800) {
        utf8[0] = (uint8_t)(0xC0 | letter >> 6);
        utf8[1] = (uint8_t)(0x80 | (letter & 0x3F));
        *written = 2;
    } else {
        utf8[0] = (uint8_t)(0xE0 | letter >> 12);
        utf8[1] = (uint8_t)(0x80 | (letter >> 6 & 0x3F));
        utf8[2] = (uint8_t)(0x80 | (letter & 0x3F));
        *written = 3;
    }
    return 6;
}

// Where the next quote, backslash or control character is, from `i` on; `end` where none is.
static uint64_t next_special(const uint8_t *text, uint64_t i, uint64_t end) {
    for (; i + 16 <= end; i += 16) {
        bytes16 block = load16(text + i);
        uint32_t found = mask16((bytes16)(block == '"') | (bytes16)(block == '\\') | (bytes16)(block < ' '));
        if (found) return i + (uint32_t)__builtin_ctz(found);
    }
    while (i < end && text[i] != '"' && text[i] != '\\' && text[i] >= ' ') i++;
    return i;
}

// Where the string that begins after its quote at `start` ends, at its other quote, and how many bytes it is once
// its escapes are resolved; 0 where it has no end, or is no JSON.
static uint64_t end_of_string(const uint8_t *text, uint64_t start, uint64_t length, uint64_t *size) {
    uint64_t i = start, saved = 0;
    while ((i = next_special(text, i, length)) < length && text[i] == '\\') {
        uint8_t utf8[4];
        uint32_t written, taken = resolve_escape(text + i, length - i, utf8, &written);
        if (!taken) return 0;
        saved += taken - written;
        i += taken;
    }
    *size = i - start - saved;
    return i < length && text[i] == '"' ? i : 0;
}

// Resolve the escapes of what `coldpress_scan` found to be a string of JSON; `out` has the bytes that it said.
void coldpress_unescape(const uint8_t *text, uint64_t start, uint64_t end, uint8_t *out) {
    for (uint64_t i = start; i < end;) {
        uint64_t next = next_special(text, i, end);
        memcpy(out, text + i, next - i);
        out += next - i;
        i = next;
        if (i < end) {
            uint8_t utf8[4];
            uint32_t written, taken = resolve_escape(text + i, end - i, utf8, &written);
            if (!taken) return;
            memcpy(out, utf8, written);
            out += written;
            i += taken;
        }
    }
}

static bool follows_body_key(const uint8_t *text, uint64_t quote) {
    static const uint8_t KEY[] = "\"body\"";
    while (quote && is_space(text[quote - 1])) quote--;
    if (!quote || text[--quote] != ':') return false;
    while (quote && is_space(text[quote - 1])) quote--;
    return quote >= sizeof KEY - 1 && !memcmp(text + quote - (sizeof KEY - 1), KEY, sizeof KEY - 1);
}

// Write the document without its lists of numbers (and, of an event, without its body) to `out`, with a placeholder
// for each, and what they are to the end of `out`, backwards: each leaves more room than that takes.
//
// `capacity`, the size of `out`, is a multiple of 8; as much as `length` always suffices. Returns how many there are;
// NO_ROOM; or NOT_HERE: the document has literals that look like placeholders, or is no JSON.
int64_t coldpress_scan(const uint8_t *text, uint64_t length, bool is_event, uint8_t *out, uint64_t capacity, uint64_t *written) {
    uint64_t i = 0, o = 0, patience = LOOKED_AT_IN_VAIN * length;
    int64_t count = 0, depth = 0;
    while (i < length) {
        uint8_t c = text[i];
        Span span = {.start = i};
        uint64_t room = capacity - o - (uint64_t)count * sizeof span;
        if (room < sizeof span + SHORTEST_LIST && capacity < length) return NO_ROOM;
        if (c == '"') {
            uint64_t end = end_of_string(text, i + 1, length, &span.size);
            if (!end) return NOT_HERE;
            span = (Span){i + 1, end, span.size, true};
            if (!is_event || depth != 1 || end - i < SHORTEST_BODY || !follows_body_key(text, i)) {
                if (end + 1 - i + sizeof span + SHORTEST_LIST > room && capacity < length) return NO_ROOM;
                memcpy(out + o, text + i, end + 1 - i);
                o += end + 1 - i;
                i = end + 1;
                continue;
            }
            i = end + 1;
        } else if (c == '[' && patience) {
            uint64_t reached = 0;
            span.end = end_of_list(text, i, length, &span.size, &reached);
            if (!span.end) patience -= reached - i < patience ? reached - i : patience;
            uint64_t taken = span.end ? span.end - i : 1;
            if (taken < SHORTEST_LIST) {
                memcpy(out + o, text + i, taken);
                o += taken;
                i += taken;
                continue;
            }
            i = span.end;
        } else if (c == 'N' || c == 'I') {
            return NOT_HERE;
        } else {
            depth += (c == '{') - (c == '}');
            out[o++] = c;
            i++;
            continue;
        }
        memcpy(out + o, PLACEHOLDER, sizeof PLACEHOLDER);
        o += sizeof PLACEHOLDER;
        memcpy(out + capacity - (uint64_t)++count * sizeof span, &span, sizeof span);
    }
    *written = o;
    return count;
}
