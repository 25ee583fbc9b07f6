//! Branches, tags and paths: what may be pushed, and what is looked at before.

use serde::{Deserialize, Serialize};

use crate::visible::is_invisible;

/// The longest pattern.
const LONGEST: usize = 200;

/// Which branches may be pushed: `mimir/*`, or a whole name such as `refs/tags/v*`. With `+` before it they may be
/// rewritten and deleted as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchRule {
    pattern: String,
    /// Whether what is there may be rewritten and deleted.
    pub rewrites: bool,
}

impl BranchRule {
    /// The same as JSON Schema writes it.
    pub const PATTERN: &'static str = r"^\+?[A-Za-z0-9_*][A-Za-z0-9._/*-]{0,198}$";

    /// Reads one.
    ///
    /// # Errors
    /// The end of a sentence that begins with what was read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (rewrites, pattern) = match text.strip_prefix('+') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let is_first = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'*');
        let is_letter = |b: u8| is_first(b) || matches!(b, b'.' | b'/' | b'-');
        let fits = pattern.len() < LONGEST
            && pattern.bytes().next().is_some_and(is_first)
            && pattern.bytes().all(is_letter);
        if !fits {
            return Err(format!("must hold branches such as mimir/* or +mimir/*, not `{text}`"));
        }
        Ok(Self { pattern: pattern.to_owned(), rewrites })
    }

    /// Whether it covers a whole name, such as `refs/heads/mimir/fix`.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        if self.pattern.starts_with("refs/") {
            return fits(self.pattern.as_bytes(), name.as_bytes(), true);
        }
        name.strip_prefix("refs/heads/")
            .is_some_and(|branch| fits(self.pattern.as_bytes(), branch.as_bytes(), true))
    }
}

/// Whether a text fits a pattern in which `*` is any text; of paths, only `**` goes past a slash.
fn fits(pattern: &[u8], text: &[u8], past_slashes: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when it does not fit: behind the last star of each kind, with one letter more in it.
    let (mut wide, mut narrow) = (None::<(usize, usize)>, None::<(usize, usize)>);
    loop {
        let stars = pattern[p..].iter().take_while(|b| **b == b'*').count();
        if stars > 0 {
            p += stars;
            if past_slashes || stars > 1 {
                (wide, narrow) = (Some((p, t)), None);
            } else {
                narrow = Some((p, t));
            }
            continue;
        }
        if p < pattern.len() && t < text.len() && pattern[p] == text[t] {
            (p, t) = (p + 1, t + 1);
            continue;
        }
        if p == pattern.len() && t == text.len() {
            return true;
        }
        let more = |star: Option<(usize, usize)>| star.filter(|(_, from)| *from < text.len());
        if let Some((after, from)) = more(narrow).filter(|(_, from)| text[*from] != b'/') {
            narrow = Some((after, from + 1));
            (p, t) = (after, from + 1);
        } else if let Some((after, from)) = more(wide) {
            (wide, narrow) = (Some((after, from + 1)), None);
            (p, t) = (after, from + 1);
        } else {
            return false;
        }
    }
}

/// Whether a path of a repository is one of those: a pattern without a slash fits a file or folder anywhere, one with a
/// slash from the root on. What lies below a folder that fits, fits. Case does not count: some file systems have none.
#[must_use]
pub fn is_protected(path: &str, patterns: &[String]) -> bool {
    let path = path.to_lowercase();
    let ends = || path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    patterns.iter().any(|pattern| {
        let pattern = pattern.trim_matches('/').to_lowercase();
        match pattern.contains('/') {
            true => ends().any(|end| fits(pattern.as_bytes(), &path.as_bytes()[..end], false)),
            false => path.split('/').any(|part| fits(pattern.as_bytes(), part.as_bytes(), false)),
        }
    })
}

/// A branch or tag that is to be moved. Ids are 40 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RefUpdate {
    /// The whole name, such as `refs/heads/mimir/fix`.
    pub name: String,
    /// What it is at the forge; absent when it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it is to be; absent when it is to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl RefUpdate {
    /// The branch's or tag's own name.
    #[must_use]
    pub fn short(&self) -> &str {
        let name = self.name.strip_prefix("refs/heads/").or_else(|| self.name.strip_prefix("refs/tags/"));
        name.unwrap_or(&self.name)
    }
}

/// Whether git could take it for the whole name of a branch or tag, and nothing on its way could be led astray by it.
#[must_use]
pub fn is_ref_name(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/")) else {
        return false;
    };
    let is_part = |part: &str| {
        !part.is_empty() && !part.starts_with(['.', '-']) && !part.ends_with('.') && !part.ends_with(".lock")
    };
    let is_letter = |c: char| {
        !c.is_control()
            && !c.is_whitespace()
            && !is_invisible(c)
            && !matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | '\\' | '"' | '\'' | '`')
    };
    name.len() <= 240
        && rest.split('/').all(is_part)
        && rest.chars().all(is_letter)
        && !rest.contains("..")
        && !rest.contains("@{")
        && !matches!(rest, "@" | "HEAD")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_branches_and_whole_names() {
        let covers = |pattern: &str, name: &str| BranchRule::parse(pattern).expect("fine").covers(name);
        assert!(covers("mimir/*", "refs/heads/mimir/fix") && covers("mimir/*", "refs/heads/mimir/a/b"));
        assert!(!covers("mimir/*", "refs/heads/mimir") && !covers("mimir/*", "refs/tags/mimir/x"));
        assert!(!covers("mimir/*", "refs/heads/x/mimir/y"));
        assert!(covers("+*", "refs/heads/main") && !covers("*", "refs/tags/v1"));
        assert!(covers("refs/tags/v*", "refs/tags/v1.2"));
        assert!(covers("a*b*c", "refs/heads/aXbXbc") && !covers("a*b*c", "refs/heads/aXc"));
        for bad in ["", "+", "a b", "-x", "../x", "a\n", "ä", "a:b"] {
            assert!(BranchRule::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn protected_paths_are_found_wherever_they_hide() {
        let patterns: Vec<String> =
            [".github/workflows", ".gitlab-ci.yml", "hooks", "*.lock", "deploy/**/x", "a/*.sh", "x/**/*.mk"]
                .map(str::to_owned)
                .into();
        let fits = |path: &str| is_protected(path, &patterns);
        for path in [
            ".github/workflows/ci.yml",
            ".GitHub/Workflows/ci.yml",
            ".gitlab-ci.yml",
            "sub/.gitlab-ci.yml",
            "tools/hooks/pre-commit",
            "Cargo.lock",
            "deploy/a/b/x",
            "a/run.sh",
            "x/y/z/build.mk",
        ] {
            assert!(fits(path), "{path}");
        }
        for path in
            ["src/main.rs", ".github/README.md", "x/.github/workflows/ci.yml", "a/b/run.sh", "hooks.md"]
        {
            assert!(!fits(path), "{path}");
        }
    }

    #[test]
    fn odd_names_are_no_names() {
        for good in ["refs/heads/main", "refs/heads/mimir/fix-1", "refs/tags/v1.0", "refs/heads/ü"] {
            assert!(is_ref_name(good), "{good}");
        }
        for bad in [
            "HEAD",
            "refs/heads/",
            "refs/heads/../../config",
            "refs/heads/a..b",
            "refs/heads/-x",
            "refs/heads/.x",
            "refs/heads/a/.b",
            "refs/heads/a.lock",
            "refs/heads/a b",
            "refs/heads/a\nb",
            "refs/heads/a:b",
            "refs/heads/@{x}",
            "refs/heads/HEAD",
            "refs/heads/a\u{7f}",
            "refs/heads/a\u{202e}b",
            "refs/notes/x",
            "refs/mimir/x",
            "refs/pull/1/head",
        ] {
            assert!(!is_ref_name(bad), "{bad}");
        }
    }
}
