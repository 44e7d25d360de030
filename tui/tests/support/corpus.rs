//! Texts that do harm where they are printed as they are, from a seed.

/// What harms: what terminals obey, what turns the direction of text, what has no width, what is wide, what is broken.
const PIECES: &[&str] = &[
    // Titles, icons, the clipboard, colours of the palette, links, notifications.
    "\u{1b}]0;owned\u{7}",
    "\u{1b}]2;owned\u{1b}\\",
    "\u{9d}2;owned\u{9c}",
    "\u{1b}]52;c;b3duZWQ=\u{7}",
    "\u{1b}]52;c;?\u{7}",
    "\u{1b}]4;1;rgb:ff/ff/ff\u{7}",
    "\u{1b}]8;;http://owned\u{1b}\\",
    "\u{1b}]9;owned\u{7}",
    "\u{1b}]1337;File=:b3duZWQ=\u{7}",
    "\u{1b}]",
    // Cursor, screen, modes, reports, colours, scrolling.
    "\u{1b}[2J",
    "\u{1b}[H",
    "\u{9b}2J",
    "\u{1b}[31m",
    "\u{1b}[0m",
    "\u{1b}[?1049h",
    "\u{1b}[?1049l",
    "\u{1b}[?25h",
    "\u{1b}[?2004h",
    "\u{1b}[6n",
    "\u{1b}[c",
    "\u{1b}[5i",
    "\u{1b}[1;1r",
    "\u{1b}[8;1;1t",
    "\u{1b}[999C",
    "\u{1b}[99999999999;9m",
    "\u{1b}[",
    "\u{1b}",
    "\u{1b}c",
    "\u{1b}7",
    "\u{1b}(0",
    "\u{1b}#8",
    "\u{1b}D",
    "\u{1b}M",
    "\u{84}",
    "\u{8d}",
    "\u{90}q\u{9c}",
    "\u{1b}P$q\u{1b}\\",
    "\u{1b}_x\u{1b}\\",
    "\u{1b}^x\u{9c}",
    "\u{98}x\u{9c}",
    // Controls.
    "\0",
    "\u{1}",
    "\u{5}",
    "\u{7}",
    "\u{8}",
    "\t",
    "\n",
    "\u{b}",
    "\u{c}",
    "\r",
    "\r\n",
    "\u{e}",
    "\u{f}",
    "\u{18}",
    "\u{1a}",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "\u{2029}",
    // Directions.
    "\u{202a}",
    "\u{202b}",
    "\u{202c}",
    "\u{202d}",
    "\u{202e}",
    "\u{2066}",
    "\u{2067}",
    "\u{2068}",
    "\u{2069}",
    "\u{200e}",
    "\u{200f}",
    "\u{61c}",
    "مرحبا",
    "שלום",
    "لا",
    // No width of their own.
    "\u{200b}",
    "\u{200c}",
    "\u{200d}",
    "\u{2060}",
    "\u{feff}",
    "\u{ad}",
    "\u{34f}",
    "\u{180e}",
    "\u{fe0f}",
    "\u{fe0e}",
    "\u{e0001}",
    "\u{e0061}",
    "\u{e0100}",
    "\u{1d173}",
    "\u{301}",
    "\u{20dd}",
    "\u{489}",
    "e\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}",
    "\u{e31}",
    "\u{93f}",
    "\u{17b4}",
    "\u{3164}",
    "\u{ffa0}",
    "\u{115f}",
    "\u{1160}",
    "\u{2800}",
    // Wide, and what is one sign of several.
    "大小",
    "ｆｕｌｌ",
    "한글",
    "\u{1112}\u{1161}\u{11ab}",
    "😀",
    "👍\u{1f3fd}",
    "👩\u{200d}👩\u{200d}👧",
    "🇩🇪",
    "🇩",
    "1\u{fe0f}\u{20e3}",
    "❤\u{fe0f}",
    "\u{1f3fd}",
    "ㅏ",
    "\u{3000}",
    "⚡",
    "‼\u{fe0f}",
    "क्षि",
    "நி",
    "ก็",
    "\u{0e33}",
    "ꥠ",
    "\u{2e3b}",
    "﷽",
    "𒐫",
    "\u{1f3f4}\u{e0067}\u{e0062}\u{e007f}",
    // Broken, private, and not there.
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{10ffff}",
    "\u{e000}",
    "\u{f8ff}",
    "\u{fff9}",
    "\u{fffb}",
    "\u{fdd0}",
    "\u{378}",
    "\u{13430}",
    "\u{1bca0}",
    // What means something to whoever puts texts together.
    "\\u{1b}",
    "%s",
    "\"",
    "'",
    "|",
    "{",
    "}",
    "::",
    "/",
    "<b>",
    "$(x)",
    "`x`",
    "--",
    " ",
    "    ",
];

/// The texts in order.
pub(crate) struct Corpus(u64);

impl Corpus {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// splitmix64
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// The next text: mostly a few pieces between letters, sometimes any characters at all, sometimes a long one.
    pub(crate) fn next(&mut self) -> String {
        let mut text = String::new();
        let pieces = match self.below(20) {
            0 => 0,
            1 => 200,
            _ => 1 + self.below(6),
        };
        for _ in 0..pieces {
            match self.below(8) {
                0 | 1 => text.extend((0..=self.below(4)).map(|_| char::from(b'a' + (self.number() % 26) as u8)).collect::<Vec<_>>()),
                2 => text.extend(char::from_u32((self.number() % 0x11_0000) as u32)),
                _ => text.push_str(PIECES[self.below(PIECES.len())]),
            }
        }
        text
    }
}
