//! What somebody may do, and with which frames.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::IntoEnumIterator;

use super::names::FrameName;
use super::principal::Principal;

/// One kind of thing that can be done. None of them holds another.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase", parse_err_ty = UnknownScope, parse_err_fn = unknown)]
pub enum Scope {
    /// Look: frames, messages, conversations, events, logs.
    Read,
    /// Talk: send, edit and cancel messages, change conversations.
    Send,
    /// Decide what agents ask for.
    Approve,
    /// Make, run and remove frames and projects. Whoever has it can give any folder of the owner to an agent.
    Frames,
    /// Type in a frame's terminal and run commands in it.
    Terminal,
    /// Speak with a frame's opencode directly.
    Passthrough,
    /// Read the counters.
    Metrics,
    /// Tokens, images, the examination and the end of the gateway.
    Admin,
}

/// A word that is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no scope: there are {all}", all = Scopes::all())]
pub struct UnknownScope(pub String);

fn unknown(text: &str) -> UnknownScope {
    UnknownScope(text.to_owned())
}

impl Scope {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    fn bit(self) -> u16 {
        1 << (self as u16)
    }
}

/// Some of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Scope>", into = "Vec<Scope>")]
pub struct Scopes(u16);

impl Scopes {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Scope::iter().collect()
    }

    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(0)
    }

    /// Whether it is among them.
    #[must_use]
    pub fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether all of the others are among them.
    #[must_use]
    pub fn hold(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::iter().filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl From<Vec<Scope>> for Scopes {
    fn from(scopes: Vec<Scope>) -> Self {
        scopes.into_iter().collect()
    }
}

impl From<Scopes> for Vec<Scope> {
    fn from(scopes: Scopes) -> Self {
        scopes.iter().collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        let words: Vec<&str> = self.iter().map(Scope::as_str).collect();
        f.write_str(&words.join(", "))
    }
}

/// What one caller may do. The listeners make it; without one nothing is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub principal: Principal,
    /// What.
    pub scopes: Scopes,
    /// With these frames alone, by name; with all when absent.
    pub frames: Option<Vec<FrameName>>,
}

impl Grant {
    /// Everything, with every frame.
    #[must_use]
    pub fn everything(principal: Principal) -> Self {
        Self { principal, scopes: Scopes::all(), frames: None }
    }

    /// Nothing: for what is open to everybody who can connect.
    #[must_use]
    pub fn nothing() -> Self {
        Self { principal: Principal::Token { name: "nobody".into() }, scopes: Scopes::none(), frames: None }
    }

    /// Whether it is for that frame too.
    #[must_use]
    pub fn covers(&self, frame: &str) -> bool {
        self.frames.as_ref().is_none_or(|frames| frames.iter().any(|name| name.as_str() == frame))
    }

    /// Whether whoever has this may hand out that: nobody can give what they do not have.
    #[must_use]
    pub fn may_give(&self, scopes: Scopes, frames: Option<&[FrameName]>) -> bool {
        let fits = match (&self.frames, frames) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(wanted)) => wanted.iter().all(|name| self.covers(name.as_str())),
        };
        fits && self.scopes.hold(scopes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(words: &str) -> Scopes {
        words.split_whitespace().map(|word| word.parse::<Scope>().expect("a scope")).collect()
    }

    fn grant(words: &str, frames: Option<&[&str]>) -> Grant {
        let frames =
            frames.map(|names| names.iter().filter_map(|name| FrameName::parse(name).ok()).collect());
        Grant { scopes: scopes(words), frames, ..Grant::nothing() }
    }

    #[test]
    fn every_scope_has_its_own_word_and_its_own_bit() {
        for scope in Scope::iter() {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            for other in Scope::iter() {
                assert_eq!(scopes(scope.as_str()).has(other), scope == other, "{scope} {other}");
            }
            assert_eq!(serde_json::to_value(scope).expect("JSON"), scope.as_str());
        }
        assert!("all".parse::<Scope>().expect_err("no scope").to_string().contains("read, send"));
    }

    #[test]
    fn nobody_can_give_what_they_do_not_have() {
        let blog = [FrameName::parse("blog").expect("a name")];
        let both = [blog[0].clone(), FrameName::parse("api").expect("a name")];
        assert!(grant("read admin", None).may_give(scopes("read"), None));
        assert!(!grant("read admin", None).may_give(scopes("read terminal"), None));
        assert!(grant("read admin", None).may_give(scopes("read"), Some(&blog)));
        assert!(grant("read admin", Some(&["blog"])).may_give(scopes("read"), Some(&blog)));
        assert!(!grant("read admin", Some(&["blog"])).may_give(scopes("read"), Some(&both)));
        assert!(!grant("read admin", Some(&["blog"])).may_give(scopes("read"), None));
    }
}
