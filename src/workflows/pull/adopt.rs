//! Which of the pull requests from a run's branch is the run's. Pure.
//!
//! Whoever may read a repository can open a pull request from a branch of it, to where they like, and write what they
//! like in it.

use super::memory::Opening;
use super::speakers::name;
use crate::model::forge::{OpenState, PullRequest, marker};

/// What the run's pull request is.
pub(super) struct Wanted<'a> {
    /// What the run hides in the text of its own.
    pub(super) marker: &'a str,
    /// The name that we have there, if anybody knows it.
    pub(super) login: Option<&'a str>,
    /// The branch that it goes to.
    pub(super) base: &'a str,
    /// The commit that was pushed.
    pub(super) commit: &'a str,
    /// The one that our own call opened, as its answer says, or the mark in it.
    pub(super) opened: Option<u64>,
    /// How one is known whose answer was lost.
    pub(super) opening: Option<Opening>,
}

/// What is hidden in the text of one of our own, besides the marker of the run.
pub(super) fn hidden(opening: &Opening) -> String {
    marker(&format!("open={}", opening.mark))
}

impl Wanted<'_> {
    /// Whether it was opened for this run. Anybody can write a marker, so it counts with who opened it; where nobody says
    /// who we are, it counts for nothing, and what nobody knew before counts for the first that has it.
    pub(super) fn is_ours(&self, pull: &PullRequest) -> bool {
        self.was_opened_by_us(pull) || (self.is_by_us(pull) && pull.body.contains(self.marker))
    }

    /// Whether somebody else opened it, as far as anybody knows.
    pub(super) fn is_of_another(&self, pull: &PullRequest) -> bool {
        !self.was_opened_by_us(pull) && !self.is_by_us(pull)
    }

    /// Which of them our own call opened without an answer, where nobody says who we are. Whoever copies the mark has a
    /// greater number; one that was there before may have it by an edit.
    pub(super) fn first_marked<'p>(&self, all: impl Iterator<Item = &'p PullRequest>) -> Option<u64> {
        let opening = self.opening.as_ref().filter(|_| self.login.is_none())?;
        let mark = hidden(opening);
        let marked = all.filter(|pull| pull.number > opening.after && pull.body.contains(&mark));
        marked.map(|pull| pull.number).min()
    }

    fn was_opened_by_us(&self, pull: &PullRequest) -> bool {
        self.opened == Some(pull.number)
    }

    fn is_by_us(&self, pull: &PullRequest) -> bool {
        self.login.is_some_and(|login| name(login) == name(&pull.author))
    }

    /// Whether it does what ours does, whoever opened it: the same commit, to the same branch.
    pub(super) fn fits(&self, pull: &PullRequest) -> bool {
        pull.state == OpenState::Open
            && pull.base_ref == self.base
            && pull.head_sha.eq_ignore_ascii_case(self.commit)
    }

    /// The newest of those that were opened for this run.
    pub(super) fn ours(&self, all: &[PullRequest]) -> Option<PullRequest> {
        newest(all.iter().filter(|pull| self.is_ours(pull)))
    }

    /// The newest of those that do what ours would do.
    pub(super) fn fitting(&self, all: &[PullRequest]) -> Option<PullRequest> {
        newest(all.iter().filter(|pull| self.fits(pull)))
    }
}

fn newest<'a>(all: impl Iterator<Item = &'a PullRequest>) -> Option<PullRequest> {
    all.max_by_key(|pull| pull.number).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: &str = "<!-- mimir:run=run_1 -->";

    fn wanted(login: Option<&str>) -> Wanted<'_> {
        Wanted { marker: MARKER, login, base: "main", commit: "aa", opened: None, opening: None }
    }

    fn pull(number: u64, author: &str, body: &str) -> PullRequest {
        PullRequest {
            number,
            author: author.to_owned(),
            body: body.to_owned(),
            head_sha: "AA".to_owned(),
            base_ref: "main".to_owned(),
            ..PullRequest::default()
        }
    }

    #[test]
    fn a_marker_counts_with_who_wrote_it() {
        let mut ours = pull(1, "Mimir-Bot", &format!("why\n\n{MARKER}"));
        assert!(wanted(Some("mimir-bot")).is_ours(&ours));
        assert!(!wanted(Some("ann")).is_ours(&ours));
        let edited = pull(1, "mimir-bot", "");
        assert!(!wanted(Some("mimir-bot")).is_ours(&edited) && wanted(Some("ann")).is_of_another(&edited));
        assert!(!wanted(Some("Mimir-Bot")).is_of_another(&edited) && wanted(None).is_of_another(&edited));
        // Ours stays so, wherever somebody sends it and whatever is pushed to it.
        (ours.base_ref, ours.head_sha) = ("release".to_owned(), "bb".to_owned());
        assert!(wanted(Some("mimir-bot")).is_ours(&ours) && !wanted(None).is_ours(&ours));
        ours.state = OpenState::Closed;
        assert!(wanted(Some("mimir-bot")).is_ours(&ours));
    }

    #[test]
    fn where_nobody_says_who_we_are_a_marker_makes_nothing_ours() {
        let copied = pull(1, "eve", &format!("why\n\n{MARKER}"));
        assert!(!wanted(None).is_ours(&copied) && wanted(None).is_of_another(&copied));
        assert_eq!(wanted(None).ours(std::slice::from_ref(&copied)), None);
        assert!(wanted(None).fits(&copied), "it may do the same, and stays somebody else's");
        // What the answer to our own call says is known all the same.
        let opened = Wanted { opened: Some(1), ..wanted(None) };
        assert!(opened.is_ours(&copied) && !opened.is_of_another(&copied));
        assert!(!opened.is_ours(&pull(2, "eve", MARKER)));
    }

    #[test]
    fn where_nobody_says_who_we_are_the_first_with_what_nobody_knew_is_ours() {
        let opening = Opening { mark: "0f".repeat(16), after: 3 };
        let body = format!("why\n\n{MARKER}\n\n{}", hidden(&opening));
        assert!(body.ends_with(&format!("<!-- mimir:open={} -->", "0f".repeat(16))), "{body}");
        // One of before, edited; ours; a copy; and one without it.
        let all =
            [pull(6, "eve", &body), pull(5, "bot", &body), pull(2, "eve", &body), pull(4, "eve", MARKER)];
        let mut wanted = Wanted { opening: Some(opening), ..wanted(None) };
        assert_eq!(wanted.first_marked(all.iter()), Some(5));
        assert_eq!(wanted.ours(&all), None, "nothing is ours before it is looked for");
        wanted.opened = wanted.first_marked(all.iter());
        assert_eq!(wanted.ours(&all).map(|pull| pull.number), Some(5));
        assert!(!wanted.is_of_another(&all[1]) && wanted.is_of_another(&all[0]));
        // Who we are says it better.
        wanted.login = Some("bot");
        assert_eq!(wanted.first_marked(all.iter()), None);
        wanted.opening = None;
        assert_eq!(wanted.first_marked(all.iter()), None);
    }

    #[test]
    fn what_others_opened_is_taken_only_when_it_does_the_same() {
        let wanted = wanted(Some("mimir-bot"));
        let fits = pull(1, "ann", "");
        assert!(wanted.fits(&fits));
        assert!(!wanted.fits(&PullRequest { base_ref: "release".into(), ..fits.clone() }));
        assert!(!wanted.fits(&PullRequest { head_sha: "bb".into(), ..fits.clone() }));
        assert!(!wanted.fits(&PullRequest { state: OpenState::Closed, ..fits.clone() }));
        let number = |found: Option<PullRequest>| found.map(|pull| pull.number);
        let all =
            [fits.clone(), pull(3, "eve", ""), PullRequest { base_ref: "x".into(), ..pull(4, "eve", "") }];
        assert_eq!((number(wanted.fitting(&all)), number(wanted.ours(&all))), (Some(3), None));
        assert_eq!(number(wanted.ours(&[pull(2, "mimir-bot", MARKER), fits])), Some(2));
    }
}
