//! What a model thinks aloud, on its way to one line. Pure.

use crate::cli::table::clean;

/// Of a long thought the beginning is kept.
const KEPT: usize = 2_000;

/// What is being thought.
#[derive(Clone, Debug, Default)]
pub struct Thought {
    since: Option<u64>,
    text: String,
    /// The line that is not whole yet.
    line: String,
}

/// What was thought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThoughtOver {
    /// Its beginning, in one line.
    pub text: String,
    /// The line that had not been given yet.
    pub rest: Option<String>,
    /// Milliseconds.
    pub took: u64,
}

impl Thought {
    /// Takes in more of it; gives the lines that are whole now.
    pub fn go_on(&mut self, at: u64, delta: &str) -> Vec<String> {
        self.since.get_or_insert(at);
        if self.text.len() < KEPT {
            self.text.push_str(delta);
        }
        self.line.push_str(delta);
        let mut lines = Vec::new();
        while let Some(end) = self.line.find('\n') {
            let line: String = self.line.drain(..=end).collect();
            lines.push(clean(line.trim_end()));
        }
        lines
    }

    /// It is over; none when there was nothing.
    pub fn end(&mut self, at: u64) -> Option<ThoughtOver> {
        let Self { since, text, line } = std::mem::take(self);
        let took = at.saturating_sub(since?);
        let rest = Some(clean(line.trim_end())).filter(|line| !line.is_empty());
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(ThoughtOver { text: clean(&text), rest, took })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_when_they_are_whole_and_all_of_it_is_one() {
        let mut thought = Thought::default();
        assert_eq!(thought.end(5), None);
        assert!(thought.go_on(10, "Let me ").is_empty());
        assert_eq!(thought.go_on(20, "look.\n\nThen\u{1b}[2J"), ["Let me look.", ""]);
        let over = thought.end(1_010).expect("a thought");
        assert_eq!((over.text.as_str(), over.took), ("Let me look. Then [2J", 1_000));
        assert_eq!(over.rest.as_deref(), Some("Then [2J"));
        assert_eq!(thought.end(2_000), None, "told once");
    }
}
