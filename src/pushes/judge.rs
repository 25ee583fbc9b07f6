//! Which branches and tags of a push may be moved. Pure.

use std::collections::BTreeSet;

use crate::git::{Ends, Heads};
use crate::model::git::{BranchRule, RefUpdate, is_ref_name};

/// Why each of them may not be moved, as far as that is known before its objects are there.
pub(super) fn refusals(
    frame: &str,
    updates: &[RefUpdate],
    heads: &Heads,
    rules: &[BranchRule],
) -> Vec<Option<String>> {
    let mut seen = BTreeSet::new();
    updates
        .iter()
        .map(|update| {
            let is_new = seen.insert(update.name.as_str());
            if !is_new { Some("it is named twice".to_owned()) } else { refusal(frame, update, heads, rules) }
        })
        .collect()
}

fn refusal(frame: &str, update: &RefUpdate, heads: &Heads, rules: &[BranchRule]) -> Option<String> {
    if !is_ref_name(&update.name) {
        return Some("only branches and tags with plain names can be pushed".to_owned());
    }
    let short = update.short();
    if !rules.iter().any(|rule| rule.covers(&update.name)) {
        let what = if update.name.starts_with("refs/tags/") { &update.name } else { short };
        return Some(format!(
            "frame {frame} may not push it; on the host, `mimir frame allow {frame} --branch '{what}'` allows it"
        ));
    }
    let rewrites = may_rewrite(update, rules);
    if update.to.is_none() && !rewrites {
        return Some(format!(
            "frame {frame} may not delete it; on the host, `mimir frame allow {frame} --branch '+{short}'` allows it"
        ));
    }
    if heads.get(&update.name) != update.from.as_ref() {
        return Some("it was moved meanwhile: fetch first".to_owned());
    }
    if update.name.starts_with("refs/tags/") && update.from.is_some() && !rewrites {
        return Some(format!("frame {frame} may not move a tag that is there"));
    }
    None
}

/// Why a branch or tag may not be moved to what was sent for it: only commits can be looked through.
pub(super) fn wrong_end(update: &RefUpdate, ends: &Ends) -> Option<String> {
    let to = update.to.as_ref()?;
    if ends.not_commits.contains(to) {
        return Some("only commits, and tags of commits, can be pushed".to_owned());
    }
    let is_tag = ends.tags.contains(to);
    (is_tag && !update.name.starts_with("refs/tags/"))
        .then(|| "a branch ends with a commit, not with a tag".to_owned())
}

/// Whether what is there may be rewritten and deleted.
pub(super) fn may_rewrite(update: &RefUpdate, rules: &[BranchRule]) -> bool {
    rules.iter().any(|rule| rule.rewrites && rule.covers(&update.name))
}

/// Why a branch may not be moved to where its history is not.
pub(super) fn not_forward(frame: &str, update: &RefUpdate) -> String {
    format!(
        "frame {frame} may not rewrite it: fetch, and put your commits on top of what is there; on the host, \
         `mimir frame allow {frame} --branch '+{}'` allows it",
        update.short()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn update(name: &str, from: Option<&str>, to: Option<&str>) -> RefUpdate {
        RefUpdate { name: name.into(), from: from.map(str::to_owned), to: to.map(str::to_owned) }
    }

    fn judged(updates: &[RefUpdate], rules: &[&str]) -> Vec<Option<String>> {
        let rules: Vec<BranchRule> =
            rules.iter().map(|rule| BranchRule::parse(rule).expect("a rule")).collect();
        let heads = [("refs/heads/mimir/old", A), ("refs/heads/main", A), ("refs/tags/v1", A)];
        let heads = heads.map(|(name, id)| (name.to_owned(), id.to_owned())).into();
        refusals("blog", updates, &heads, &rules)
    }

    fn one(update: RefUpdate, rules: &[&str]) -> String {
        judged(&[update], rules)[0].clone().unwrap_or_default()
    }

    #[test]
    fn a_frame_pushes_what_its_rules_cover_and_moves_it_forward() {
        let usual = &["mimir/*"][..];
        assert_eq!(one(update("refs/heads/mimir/new", None, Some(B)), usual), "");
        assert_eq!(one(update("refs/heads/mimir/old", Some(A), Some(B)), usual), "");
        let refused = one(update("refs/heads/main", Some(A), Some(B)), usual);
        assert!(refused.contains("mimir frame allow blog --branch 'main'"), "{refused}");
        let refused = one(update("refs/heads/mimir/old", Some(A), None), usual);
        assert!(refused.contains("may not delete") && refused.contains("'+mimir/old'"), "{refused}");
        assert_eq!(one(update("refs/heads/mimir/old", Some(A), None), &["+mimir/*"]), "");
        let refused = one(update("refs/tags/v2", None, Some(B)), usual);
        assert!(refused.contains("--branch 'refs/tags/v2'"), "{refused}");
        assert_eq!(one(update("refs/tags/v2", None, Some(B)), &["refs/tags/*"]), "");
        assert!(one(update("refs/tags/v1", Some(A), Some(B)), &["refs/tags/*"]).contains("move a tag"));
    }

    #[test]
    fn only_commits_and_their_tags_can_be_looked_through() {
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let ends = Ends { not_commits: set(&[A]), tags: set(&[A, B]), ..Ends::default() };
        let refused = |name: &str, to: Option<&str>| wrong_end(&update(name, None, to), &ends);
        assert!(refused("refs/tags/v1", Some(A)).is_some_and(|why| why.contains("only commits")));
        assert!(refused("refs/heads/x", Some(B)).is_some_and(|why| why.contains("a branch ends")));
        assert_eq!(refused("refs/tags/v1", Some(B)), None);
        assert_eq!(refused("refs/heads/x", Some("cccc")), None);
        assert_eq!(refused("refs/tags/v1", None), None);
    }

    #[test]
    fn what_is_not_as_it_was_said_to_be_is_refused() {
        for (from, to) in [(None, Some(B)), (Some(B), Some(A)), (Some(B), None)] {
            let refused = one(update("refs/heads/mimir/old", from, to), &["+*"]);
            assert!(refused.contains("moved meanwhile"), "{from:?} {refused}");
        }
        let twice =
            [update("refs/heads/mimir/x", None, Some(A)), update("refs/heads/mimir/x", None, Some(B))];
        assert_eq!(judged(&twice, &["*"])[1].as_deref(), Some("it is named twice"));
        for odd in ["HEAD", "refs/heads/../x", "refs/mimir/x", "refs/heads/a b"] {
            assert!(one(update(odd, None, Some(A)), &["+*", "refs/*"]).contains("plain names"), "{odd}");
        }
    }
}
