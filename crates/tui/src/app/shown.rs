//! What is on the screen, since when, and where in a long text.

use mimir_model::visible;

use super::{App, Notice, Screen, Tab};

/// How long a notice stands, and how much longer for each of its letters.
const NOTICE_MS: u64 = 8_000;
const LETTER_MS: u64 = 60;
/// Who asks for less time than this cannot have been read.
pub const UNREAD_MS: u64 = 400;

/// What scrolls: the screen, the tab, the frame and the width.
pub(super) type Shown = (Screen, Tab, Option<String>, u16);

impl App {
    /// Whether what is asked is on the screen for long enough to have been read. A key that was meant for something else must not say yes.
    pub fn was_seen(&self, approval: &str) -> bool {
        self.shown_since.get(approval).is_some_and(|since| self.now_ms.saturating_sub(*since) >= UNREAD_MS)
    }

    /// Whether whoever presses a key knows what is chosen: it did not move by itself a moment ago.
    pub fn is_choice_known(&self) -> bool {
        self.now_ms.saturating_sub(self.moved_at) >= UNREAD_MS
    }

    /// Says something at the bottom.
    pub fn say(&mut self, text: impl Into<String>, is_bad: bool) {
        let text = visible::line(&text.into());
        let letters = u64::try_from(text.chars().count()).unwrap_or(0).min(1_000);
        let until = self.now_ms + NOTICE_MS + letters.saturating_sub(80) * LETTER_MS;
        self.notice = Some(Notice { text, is_bad, until });
    }

    /// It was drawn; `is_asked` when what is asked was on it, uncovered. Remembers since when.
    pub fn drawn(&mut self, is_asked: bool) {
        let shown = self.asked().filter(|_| is_asked).map(|approval| approval.id.clone());
        let known = shown.as_ref().and_then(|id| self.shown_since.get(id)).copied();
        self.shown_since.clear();
        if let Some(id) = shown {
            self.shown_since.insert(id, known.unwrap_or(self.now_ms));
        }
    }

    /// Keeps the text in place when more comes below it, and what is scrolled within what there is. `gone` lines stood
    /// before the first one and are kept no longer.
    pub fn hold_place(&mut self, lines: usize, gone: usize, rows: u16, width: u16, is_from_end: bool) {
        let shown = (self.screen, self.tab, self.chosen.clone(), width);
        if let Some((before, had)) = &self.extent
            && is_from_end
            && self.scroll > 0
            && *before == shown
        {
            self.scroll += (lines + gone).saturating_sub(*had);
        }
        self.scroll = self.scroll.min(lines.saturating_sub(usize::from(rows)));
        self.extent = Some((shown, lines + gone));
    }

    /// Whether something goes away by itself at its time. Says whether the screen is another one.
    pub fn tick(&mut self) -> bool {
        if self.notice.as_ref().is_some_and(|notice| notice.until <= self.now_ms) {
            self.notice = None;
            return true;
        }
        false
    }
}
