"""Random texts that tokenizers cut in different ways."""

import random

PARTS = [
    "abc", "Hello", "WORLD", "iPhone", "don't", "I'LL", "we'Re", "'s", "''", "İstanbul", "ſ", "ß", "Ǆ", "ﬁ",
    "été", "e\u0301", "a\u0308\u0323", "\u0301", "Ω", "привет", "ὈΔΎΣΣ", "ՀայԵր", "ქართ", "𐐀𐐨", "Ꭰꭰ",
    "日本語", "한국어", "\u1112\u1161\u11ab", "中文，", "、。", "ไทย", "កម្ពុជា", "हिन्दी", "عَرَبِي", "עִבְרִית",
    "0", "7", "12", "123", "1234", "1234567", "٣٤", "½", "Ⅷ", "①", "𝟘𝟙", "10.5", "1,000",
    " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", "\r", "\u000b", "\u000c", "\u0085", "\u00a0", "\u2003", "\u2028", "\u3000",
    "\u180e", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u2060",
    "!", "?!", "...", "…", "--", "—", "(", ")", "[x]", "{}", "<>", "<|x|>", "@", "#", "$", "€", "%", "^", "&",
    "*", "_", "__", "`", "~", "+", "=", "==", "/", "//", "\\", "|", ";", ":", "\"", "“", "”", "«", "¿", "™", "°", "£5",
    "😀", "👩‍👩‍👧", "🇩🇪", "✅", "🏳️‍🌈", "\U0001f9d1\U0001f3fd", "▁", "▁▁", "Ġ", "Ċ",
    "\x00", "\x01", "\x1b", "\x7f", "\u0378", "\ue000", "\U000e0041", "\U0010ffff", "\ufffd", "<0x0A>",
]


def texts(n, seed):
    """n texts; a seed gives the same ones each time."""
    source = random.Random(seed)
    out = []
    while len(out) < n:
        parts = []
        for _ in range(source.randint(1, 12)):
            kind = source.random()
            if kind < 0.75:
                parts.append(source.choice(PARTS))
            elif kind < 0.85:
                parts.append(source.choice(PARTS) * source.randint(2, 9))
            elif kind < 0.95:
                parts.append(chr(source.choice([source.randrange(0x20, 0x250), source.randrange(0x250, 0x3000)])))
            else:
                code = source.randrange(0x3000, 0x20000)
                parts.append(chr(code) if not 0xD800 <= code < 0xE000 else " ")
            if source.random() < 0.3:
                parts.append(" ")
        out.append("".join(parts))
    return out
