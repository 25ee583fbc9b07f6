//! Says something to whoever fetches, in the middle of what git itself answers. Pure.

use super::pktline::{self, Packet};

/// Puts sentences into the answer to a fetch (protocol version 2), where words for people may stand: before the objects.
/// In every other answer nothing is changed.
#[derive(Debug)]
pub struct NewsInserter {
    news: Vec<String>,
    held: Vec<u8>,
    is_over: bool,
    was_told: bool,
}

impl NewsInserter {
    /// With what is to be said.
    #[must_use]
    pub fn new(news: Vec<String>) -> Self {
        let is_over = news.is_empty();
        Self { news, held: Vec::new(), is_over, was_told: false }
    }

    /// Whether it was said.
    #[must_use]
    pub fn was_told(&self) -> bool {
        self.was_told
    }

    /// The bytes that go on, for these that came.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.is_over {
            return bytes.to_vec();
        }
        self.held.extend(bytes);
        let (mut out, mut done) = (Vec::new(), 0);
        while !self.is_over {
            match pktline::first(&self.held[done..]) {
                Ok(Some((packet, taken))) => {
                    let is_here = packet == Packet::Data(b"packfile\n");
                    done += taken;
                    if is_here {
                        out.extend(&self.held[..done]);
                        self.held.drain(..done);
                        done = 0;
                        self.news.iter().for_each(|text| pktline::told(&mut out, text));
                        (self.is_over, self.was_told) = (true, true);
                    }
                }
                Ok(None) => break,
                Err(_) => self.is_over = true,
            }
        }
        let done = if self.is_over { self.held.len() } else { done };
        out.extend(self.held.drain(..done));
        out
    }

    /// What is left when nothing more comes.
    pub fn end(&mut self) -> Vec<u8> {
        self.is_over = true;
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer() -> Vec<u8> {
        let mut out = Vec::new();
        pktline::line(&mut out, b"acknowledgments\n");
        pktline::line(&mut out, b"ready\n");
        out.extend(b"0001");
        pktline::line(&mut out, b"packfile\n");
        pktline::band(&mut out, 1, b"PACK....");
        pktline::flush(&mut out);
        out
    }

    proptest! {
        #[test]
        fn it_is_said_before_the_objects_however_the_answer_is_cut(cut in 0usize..60) {
            let whole = answer();
            let cut = cut.min(whole.len());
            let mut inserter = NewsInserter::new(vec!["push 3 was rejected".to_owned()]);
            let mut out = inserter.pass(&whole[..cut]);
            out.extend(inserter.pass(&whole[cut..]));
            out.extend(inserter.end());
            prop_assert!(inserter.was_told());
            let text = String::from_utf8_lossy(&out).into_owned();
            prop_assert!(text.contains("packfile\n0020\u{2}mimir: push 3 was rejected\n000d\u{1}PACK...."), "{}", text);
        }

        #[test]
        fn other_answers_stay_as_they_are(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
            let cut = cut.min(bytes.len());
            let mut inserter = NewsInserter::new(vec!["x".to_owned()]);
            let mut out = inserter.pass(&bytes[..cut]);
            out.extend(inserter.pass(&bytes[cut..]));
            out.extend(inserter.end());
            if !inserter.was_told() {
                prop_assert_eq!(out, bytes);
            }
        }
    }
}
