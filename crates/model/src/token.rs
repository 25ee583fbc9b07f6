//! Tokens: what lets somebody in from elsewhere, and how far.

use super::ids::TokenId;
use super::names::{FrameName, TokenName};
use super::principal::Principal;
use super::scope::{Grant, Scopes};

/// A token without its secret, of which only a hash is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Ours.
    pub id: TokenId,
    /// What its owner calls it; what it does is written down under this name.
    pub name: TokenName,
    /// What it may do.
    pub scopes: Scopes,
    /// With these frames alone; with all when absent.
    pub frames: Option<Vec<FrameName>>,
    /// UTC ms.
    pub created_at: u64,
    /// By whom.
    pub created_by: String,
    /// From then on it opens nothing (UTC ms).
    pub expires_at: Option<u64>,
    /// How it began, when it is a browser's session.
    pub began_with: Option<SessionStart>,
    /// When it last opened something (UTC ms), to about half a minute.
    pub last_used_at: Option<u64>,
    /// From which address.
    pub last_used_from: Option<String>,
    /// When it was taken back (UTC ms).
    pub revoked_at: Option<u64>,
}

/// How a browser's session began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum SessionStart {
    /// With a link that opens once.
    Link,
    /// With the owner's password.
    Password,
}

impl SessionStart {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Whether a token opens anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum TokenState {
    /// It does.
    Active,
    /// Not any more: its time is over.
    Expired,
    /// Not any more: it was taken back.
    Revoked,
}

impl TokenState {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Token {
    /// Whether it opens anything at that time.
    #[must_use]
    pub fn state(&self, now_ms: u64) -> TokenState {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => TokenState::Revoked,
            (None, Some(at)) if at <= now_ms => TokenState::Expired,
            (None, _) => TokenState::Active,
        }
    }

    /// What whoever has it may do.
    #[must_use]
    pub fn grant(&self) -> Grant {
        Grant {
            principal: Principal::Token { name: self.name.to_string() },
            scopes: self.scopes,
            frames: self.frames.clone(),
        }
    }
}

/// Names that stand for something else in what is written down or in addresses.
pub const RESERVED_NAMES: &[&str] = &["home", "nobody", "current"];
