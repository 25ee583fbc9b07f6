//! What a person's yes is for: a commit, and where it goes. Each question has a sign of its own, so that a yes to one is
//! none to another that stands in its place by the time that it arrives.

use sha2::{Digest as _, Sha256};

/// A longer name of a branch is not written out.
const LONGEST: usize = 60;

/// To a merge: of that commit, into that branch.
#[must_use]
pub fn to_merge(head: &str, base: &str) -> String {
    format!("{head}@{}", plain(base))
}

/// To one more try with that commit.
#[must_use]
pub fn to_go_on(head: &str) -> String {
    head.to_owned()
}

/// To one more try, for another branch than before.
#[must_use]
pub fn to_go_on_for(head: &str, base: &str) -> String {
    format!("{head}:{}", plain(base))
}

/// A branch's name where it can be typed as it is. Shells make something of other names, and whoever may push can choose
/// one: a number stands for those, which is another one for each.
fn plain(branch: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/');
    if (1..=LONGEST).contains(&branch.len()) && branch.bytes().all(is_plain) {
        return branch.to_owned();
    }
    // No plain name begins so.
    format!("%{}", hex::encode(&Sha256::digest(branch.as_bytes())[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_is_another_one_and_can_be_typed() {
        let all = [to_merge("aa", "main"), to_go_on("aa"), to_go_on_for("aa", "main")];
        assert_eq!(all, ["aa@main", "aa", "aa:main"]);
        let long = "x".repeat(61);
        for odd in ["a;reboot", "$(id)", "a b", "caf\u{e9}", "", long.as_str()] {
            let yes = to_merge("aa", odd);
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '%');
            assert!(yes.chars().all(is_plain) && yes.len() == 20, "{odd}: {yes}");
        }
        assert_ne!(to_merge("aa", "a;b"), to_merge("aa", "a;c"));
    }
}
