//! Who may tell us something, and what follows from it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::secret::Secret;
use crate::model::webhook::SenderKind;

pub use crate::config::webhooks::{Mapping, Rule};
pub use crate::model::webhook::Untold;

/// What is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Senders by name.
    pub sources: BTreeMap<String, Source>,
    /// What follows from what they say; the first rule that fits decides.
    pub rules: Vec<Rule>,
    /// The largest body that is taken, in bytes.
    pub body_limit: usize,
    /// How long a body may take to arrive.
    pub body_within: Duration,
    /// How many are taken at the same time.
    pub parallel: usize,
    /// How long what came is kept.
    pub keep: Duration,
    /// How often error trackers are asked for what they could not tell us.
    pub catch_up: Option<Duration>,
    /// Where senders reach us, when somebody says so.
    pub address: Option<url::Url>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sources: BTreeMap::new(),
            rules: Vec::new(),
            body_limit: 1 << 20,
            // Senders wait a second or ten.
            body_within: Duration::from_secs(10),
            parallel: 64,
            keep: Duration::from_secs(30 * 24 * 60 * 60),
            catch_up: Some(Duration::from_secs(300)),
            address: None,
        }
    }
}

/// A sender.
#[derive(Clone, Debug)]
pub struct Source {
    /// How it signs and speaks.
    pub kind: SenderKind,
    /// What it signs with: the one of now and the one before. Without any, nothing is taken.
    pub secrets: Vec<Secret>,
    /// A forge's host, where that is not said in what it sends.
    pub host: Option<String>,
    /// The organization's slug at an error tracker.
    pub organization: Option<String>,
    /// Whether its API can be asked: there is a token.
    pub has_token: bool,
    /// Where the fields are that a rule looks at, for senders of no known kind.
    pub mapping: Mapping,
}
