//! What a stranger may send to the terminal of whoever looks at it.
//!
//! Programs in a frame, tmux included, are the agent's: it can set tmux's options and write what it likes. Terminals obey
//! more than drawing: they put text into the clipboard (OSC 52), change titles, open links, print, and answer questions by
//! *typing* the answer, into a shell of the host when the frame has gone meanwhile. So everything is parsed, and written anew
//! only when it is on the list of what draws, moves, scrolls or switches a mode that a full-screen program needs. What is not
//! on the list, or no whole sequence, is left out; nothing is passed on unparsed.
//!
//! The parser is alacritty's `vte`. Meanings: ECMA-48, and xterm's control sequences (ctlseqs).

use std::fmt::Write as _;

use vte::{Params, Parser, Perform};

/// Filters one stream of output. State is kept over chunks, wherever they are cut.
#[derive(Default)]
pub struct TerminalFilter {
    parser: Parser,
    screen: Screen,
}

impl TerminalFilter {
    /// A stream at its begin.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What of this piece may be shown.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.parser.advance(&mut self.screen, bytes);
        std::mem::take(&mut self.screen.shown).into_bytes()
    }

    /// How many sequences were left out so far.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.screen.left_out
    }
}

/// Collects what is allowed.
#[derive(Default)]
struct Screen {
    shown: String,
    left_out: u64,
}

impl Screen {
    fn leave_out(&mut self) {
        self.left_out += 1;
    }
}

/// Control characters that move or ring; not ENQ, which some terminals answer.
const CONTROLS: &[u8] = b"\x07\x08\t\n\x0b\x0c\r\x0e\x0f";

/// Private modes (`CSI ? … h` and `l`): cursor keys, reverse screen, origin, wrap, blinking and visible cursor, the second
/// screen, mouse and focus reports, bracketed paste, synchronised output. Those that report do so only when somebody acts.
const MODES: &[u16] =
    &[1, 5, 6, 7, 9, 12, 25, 47, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1047, 1048, 1049, 2004, 2026];

/// Finals of plain sequences: cursor, erase, insert, delete, scroll, repeat, tabs, attributes, margins, save and restore.
/// Not `c`, `n`, `x` (questions), `i` (print), `t` (window, title, questions), `q` (lamps).
const PLAIN: &str = "@ABCDEFGHIJKLMPSTXZ`abdefgmrsu";

impl Perform for Screen {
    fn print(&mut self, character: char) {
        // A control character that was cut in two is put together by the parser and comes here.
        if character.is_control() {
            self.leave_out();
        } else {
            self.shown.push(character);
        }
    }

    fn execute(&mut self, byte: u8) {
        if CONTROLS.contains(&byte) {
            self.shown.push(char::from(byte));
        } else {
            self.leave_out();
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, last: char) {
        if ignore {
            return self.leave_out();
        }
        let first = params.iter().next().and_then(|param| param.first()).copied().unwrap_or(0);
        match (intermediates, last) {
            ([], 'h' | 'l') => self.modes("", params, last, &[4, 20]),
            (b"?", 'h' | 'l') => self.modes("?", params, last, MODES),
            (b"?", 'J' | 'K') => self.csi("?", params, "", last),
            // How keys with modifiers are told: tmux's `extended-keys`.
            (b">", 'm') if first == 4 => self.csi(">", params, "", last),
            // The shape of the cursor.
            (b" ", 'q') => self.csi("", params, " ", last),
            // A soft reset.
            (b"!", 'p') => self.csi("", params, "!", last),
            ([], last) if PLAIN.contains(last) => self.csi("", params, "", last),
            _ => self.leave_out(),
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], ignore: bool, byte: u8) {
        let last = char::from(byte);
        match (intermediates, byte) {
            _ if ignore => self.leave_out(),
            // Save and restore the cursor, next line, tab stop, back a line, keypad.
            ([], b'7' | b'8' | b'D' | b'E' | b'H' | b'M' | b'=' | b'>') => {
                self.shown.push('\x1b');
                self.shown.push(last);
            }
            // Character sets: line drawing, British, ASCII.
            ([which @ (b'(' | b')' | b'*' | b'+')], b'0' | b'A' | b'B') => {
                self.shown.push('\x1b');
                self.shown.push(char::from(*which));
                self.shown.push(last);
            }
            // The end of a string that was left out.
            ([], b'\\') => {}
            _ => self.leave_out(),
        }
    }

    fn osc_dispatch(&mut self, _params: &[&[u8]], _bell_terminated: bool) {
        self.leave_out();
    }

    fn hook(&mut self, _params: &Params, _intermediates: &[u8], _ignore: bool, _last: char) {
        self.leave_out();
    }
}

impl Screen {
    /// Those of the modes that are on the list.
    fn modes(&mut self, marker: &str, params: &Params, last: char, allowed: &[u16]) {
        let asked: Vec<u16> = params.iter().filter_map(|param| param.first()).copied().collect();
        let kept: Vec<String> =
            asked.iter().filter(|mode| allowed.contains(mode)).map(u16::to_string).collect();
        if kept.len() < asked.len() {
            self.leave_out();
        }
        if !kept.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(self.shown, "\x1b[{marker}{}{last}", kept.join(";"));
        }
    }

    fn csi(&mut self, marker: &str, params: &Params, intermediate: &str, last: char) {
        let mut words: Vec<String> = params
            .iter()
            .map(|param| param.iter().map(u16::to_string).collect::<Vec<_>>().join(":"))
            .collect();
        if words == ["0"] {
            words.clear();
        }
        let _ = write!(self.shown, "\x1b[{marker}{}{intermediate}{last}", words.join(";"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pass(bytes: &[u8]) -> Vec<u8> {
        TerminalFilter::new().pass(bytes)
    }

    #[track_caller]
    fn becomes(from: &str, to: &str) {
        assert_eq!(String::from_utf8_lossy(&pass(from.as_bytes())), to, "from {from:?}");
    }

    #[test]
    fn what_draws_is_shown_as_it_is() {
        for drawing in [
            "plain text, ünïcode 漢字 🦀\r\n\ttab\x08\x07",
            "\x1b[H\x1b[2J\x1b[1;1H\x1b[10;20r\x1b[3L\x1b[2P\x1b[K",
            "\x1b[1;38;2;10;20;30;48;5;7mcolour\x1b[m\x1b[4:3m",
            "\x1b[?1049h\x1b[?25l\x1b[?1000h\x1b[?1006h\x1b[?2004h\x1b[?1h\x1b=",
            "\x1b[?2026h\x1b[?2026l\x1b[2 q\x1b[>4;1m",
            "\x1b(0lqqk\x1b(B\x0e\x0f\x1b7\x1b8\x1bM",
        ] {
            becomes(drawing, drawing);
        }
    }

    #[test]
    fn what_reaches_past_the_screen_is_left_out() {
        for hostile in [
            // Clipboard, title, icon name, link, working folder, colours asked and set, notification, a file.
            "\x1b]52;c;ZWNobyBoYWNrZWQ=\x07",
            "\x1b]52;c;?\x1b\\",
            "\x1b]0;title\x07",
            "\x1b]2;title\x1b\\",
            "\x1b]8;;http://evil.example/\x1b\\",
            "\x1b]7;file:///etc\x07",
            "\x1b]11;?\x07",
            "\x1b]4;1;?\x07",
            "\x1b]9;hello\x07",
            "\x1b]777;notify;a;b\x07",
            "\x1b]1337;File=name=x:AAAA\x07",
            // Questions that a terminal answers by typing.
            "\x1b[c",
            "\x1b[>c",
            "\x1b[=c",
            "\x1b[5n",
            "\x1b[6n",
            "\x1b[?6n",
            "\x1b[>q",
            "\x1b[21t",
            "\x1b[18t",
            "\x1b[?1$p",
            "\x1b[1;1;1;1;1;1*y",
            "\x1b[x",
            "\x1b[?u",
            "\x1bZ",
            "\x05",
            // Window operations, printing, keyboard, everything anew.
            "\x1b[22;0;0t",
            "\x1b[8;1;1t",
            "\x1b[5i",
            "\x1b[?5i",
            "\x1b[>1u",
            "\x1bc",
            "\x1b[?3h",
            // Strings for the terminal: passthrough, sixel, status, Kitty's pictures, macros.
            "\x1bPtmux;\x1b\x1b]52;c;AAAA\x07\x1b\\",
            "\x1bPq#0~~\x1b\\",
            "\x1bP$qm\x1b\\",
            "\x1bP+q544e\x1b\\",
            "\x1b_Ga=T;AAAA\x1b\\",
            "\x1b^private\x1b\\",
            "\x1bXstring\x1b\\",
            "\x1bktitle\x1b\\",
        ] {
            let shown = pass(format!("before{hostile}after").as_bytes());
            let shown = String::from_utf8_lossy(&shown);
            // What follows an unknown escape may be shown as text, but nothing that a terminal would obey.
            assert!(shown.starts_with("before") && shown.ends_with("after"), "{hostile:?} gave {shown:?}");
            assert!(!shown.contains(|c: char| c.is_control()), "{hostile:?} gave {shown:?}");
        }
    }

    #[test]
    fn eight_bit_controls_are_no_way_around() {
        for hostile in
            [&b"a\x9b6nb"[..], b"a\x9d52;c;AAAA\x07b", "a\u{9b}6nb".as_bytes(), "a\u{90}qb\u{9c}".as_bytes()]
        {
            let shown = String::from_utf8_lossy(&pass(hostile)).into_owned();
            assert!(!shown.chars().any(|c| ('\u{80}'..='\u{9f}').contains(&c)), "{shown:?}");
            assert!(!shown.contains('\x1b'), "{shown:?}");
        }
    }

    #[test]
    fn a_control_that_is_cut_in_two_is_none_either() {
        for hostile in ["a\u{9b}6nb", "a\u{9d}52;c;AAAA\u{9c}b", "a\u{90}qb\u{9c}c\u{7f}d"] {
            for cut in 0..=hostile.len() {
                let mut filter = TerminalFilter::new();
                let (first, second) = hostile.as_bytes().split_at(cut);
                let shown = [filter.pass(first), filter.pass(second)].concat();
                let shown = String::from_utf8_lossy(&shown).into_owned();
                assert!(!shown.chars().any(char::is_control), "cut at {cut}: {shown:?}");
            }
        }
    }

    #[test]
    fn modes_that_are_not_on_the_list_go_and_the_others_stay() {
        becomes("\x1b[?1049;3;25h", "\x1b[?1049;25h");
        becomes("\x1b[?1337h", "");
    }

    #[test]
    fn a_sequence_that_never_ends_shows_nothing_and_text_after_its_end_is_there() {
        let mut filter = TerminalFilter::new();
        assert_eq!(filter.pass(b"\x1b]52;c;"), b"");
        for _ in 0..1000 {
            assert_eq!(filter.pass(&[b'A'; 1000]), b"");
        }
        assert_eq!(filter.pass(b"\x07back"), b"back");
        assert_eq!(filter.left_out(), 1);
    }

    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let bits = prop_oneof![
            Just(b"\x1b[".to_vec()),
            Just(b"\x1b]52;c;".to_vec()),
            Just(b"\x1bP".to_vec()),
            Just(b"\x1b\\".to_vec()),
            Just(b"\x07".to_vec()),
            Just(b"?1049h".to_vec()),
            Just(b"6n".to_vec()),
            Just("ü漢".as_bytes().to_vec()),
            proptest::collection::vec(any::<u8>(), 0..8),
        ];
        proptest::collection::vec(bits, 0..40).prop_map(|bits| bits.concat())
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_changes_nothing(bytes in pieces(), cuts in proptest::collection::vec(0usize..300, 0..6)) {
            let mut filter = TerminalFilter::new();
            let (mut shown, mut from) = (Vec::new(), 0);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            for cut in cuts.into_iter().chain([bytes.len()]) {
                shown.extend(filter.pass(&bytes[from..cut]));
                from = cut;
            }
            prop_assert_eq!(shown, pass(&bytes));
        }

        #[test]
        fn what_was_filtered_passes_a_filter_unchanged(bytes in pieces()) {
            let once = pass(&bytes);
            let mut again = TerminalFilter::new();
            prop_assert_eq!(&again.pass(&once), &once);
            prop_assert_eq!(again.left_out(), 0);
        }

        #[test]
        fn text_is_untouched(text in "[^\\p{Cc}]{0,200}") {
            prop_assert_eq!(pass(text.as_bytes()), text.into_bytes());
        }
    }
}
