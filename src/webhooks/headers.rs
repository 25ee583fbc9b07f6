//! The headers of a request, as far as intake looks at them.

/// Names in lower case, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

/// What is kept beside a body: nothing that opens anything, and nothing of who sent it.
const KEPT: &[&str] = &[
    "content-type",
    "request-id",
    "sentry-hook-resource",
    "sentry-hook-timestamp",
    "webhook-id",
    "webhook-timestamp",
    "x-github-delivery",
    "x-github-event",
    "x-github-hook-id",
    "x-github-hook-installation-target-type",
    "x-gitea-event",
    "x-gitea-delivery",
];
/// No value that is kept is longer.
const LONGEST: usize = 300;

impl Headers {
    /// Of pairs as they came; what is no text is not there.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect())
    }

    /// Whether there is one of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// The value of a header that comes once.
    #[must_use]
    pub fn only(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(known, _)| known == name);
        let first = found.next()?;
        found.next().is_none().then_some(first.1.as_str())
    }

    /// A word of a header: a few plain letters, or nothing.
    #[must_use]
    pub fn word(&self, name: &str) -> Option<String> {
        let text = self.only(name)?.trim();
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
        ((1..=100).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
    }

    /// Those that are kept.
    #[must_use]
    pub fn kept(&self) -> Vec<(String, String)> {
        let kept = self.0.iter().filter(|(name, _)| KEPT.contains(&name.as_str()));
        kept.map(|(name, value)| (name.clone(), value.chars().take(LONGEST).collect())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_something_is_not_kept() {
        let all = [
            ("Authorization", "Bearer x"),
            ("Sentry-Hook-Signature", "00"),
            ("Cookie", "a=b"),
            ("X-GitHub-Event", "push"),
            ("Content-Type", "application/json"),
        ];
        let headers = Headers::new(all.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let names: Vec<String> = headers.kept().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["x-github-event", "content-type"]);
        assert_eq!(headers.only("authorization"), Some("Bearer x"));
    }

    #[test]
    fn a_word_is_plain() {
        let of = |value: &str| {
            Headers::new([("x-github-event".to_owned(), value.to_owned())]).word("x-github-event")
        };
        assert_eq!(of("pull_request").as_deref(), Some("pull_request"));
        for none in ["", "a b", "a\u{202e}", "<x>", &"x".repeat(101)] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
