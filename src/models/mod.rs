//! Model providers: who they are, how they answer, what they cost.
//!
//! A frame never holds a provider's key. Its agent is configured with the
//! broker's address ([`Models::agent_config`]); the broker hands each call to
//! [`Models::forward`], which adds the real key, streams the answer back and
//! counts tokens and cost on the way.
//!
//! Not here: who may call (see `broker`), and where the counts are kept.

mod account;
mod agent_config;
mod check;
mod demo;
mod ending;
mod forward;
mod headers;
mod meter;
mod passing;
mod permission;
mod prices;
mod provider;
mod repair;
mod tap;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use crate::model::usage::PriceRow;
use crate::outbound::HttpClients;
use crate::redact::Known;

pub use account::Pricing;
pub use check::{CheckError, list_models};
pub use ending::{CallReport, OnEnd};
pub use forward::{Answer, Call, Counted, ModelError, Prepared};
pub use meter::Meter;
pub use passing::{BodyStream, OnRedacted, Work};
pub use prices::{InvalidPrices, Prices, is_day};
pub use provider::{ModelSettings, ProviderKind, ProviderSettings, UnknownProviderKind};

/// The provider that is built in and plays a fixed script.
pub const DEMO: &str = "demo";

/// Where a frame's agent finds the broker, as seen from inside.
pub const BROKER_INSIDE: &str = "http://127.0.0.1:8118";

/// All providers of this gateway. The demo is always among them.
pub struct Models {
    providers: BTreeMap<String, ProviderSettings>,
    prices: RwLock<Arc<Prices>>,
    http: HttpClients,
    /// The keys of all providers, and what others know besides.
    known: Known,
    /// How long a frame may leave a piece of an answer unread.
    unread: Duration,
    /// Those that every frame may use.
    for_every_frame: BTreeSet<String>,
}

impl Models {
    /// The given providers and the demo.
    #[must_use]
    pub fn new(providers: Vec<ProviderSettings>, prices: Prices, http: HttpClients) -> Self {
        let known = Known::default();
        known.set("models", providers.iter().flat_map(ProviderSettings::secrets).collect());
        let mut by_name: BTreeMap<_, _> =
            providers.into_iter().map(|provider| (provider.name.clone(), provider)).collect();
        by_name.insert(DEMO.to_owned(), ProviderSettings::demo());
        let prices = RwLock::new(Arc::new(prices));
        let for_every_frame = [DEMO.to_owned()].into();
        Self { providers: by_name, prices, http, known, unread: passing::UNREAD, for_every_frame }
    }

    /// With another patience for frames that do not read their answers, for tests that cannot wait so long.
    #[must_use]
    pub fn cutting_unread_after(self, unread: Duration) -> Self {
        Self { unread, ..self }
    }

    /// Every frame may use those, and the demo.
    #[must_use]
    pub fn for_every_frame<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.for_every_frame.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// The providers that a frame may use that was granted `own`.
    #[must_use]
    pub fn granted(&self, own: &[String]) -> BTreeSet<String> {
        self.for_every_frame.iter().chain(own).cloned().collect()
    }

    /// What must not be told to a frame: the keys of all providers. Whoever knows more adds it here.
    #[must_use]
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// All providers, by name.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderSettings> {
        self.providers.values()
    }

    /// A provider by its name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&ProviderSettings> {
        self.providers.get(name)
    }

    /// The prices as they are now.
    #[must_use]
    pub fn prices(&self) -> Arc<Prices> {
        self.prices.read().clone()
    }

    /// Other prices for calls from now on.
    pub fn set_prices(&self, rows: impl IntoIterator<Item = PriceRow>) {
        let mut prices = self.prices.write();
        let table = Arc::make_mut(&mut prices);
        rows.into_iter().for_each(|row| table.set(row));
    }

    /// Whether anything but the demo can answer: a provider with a key, or one that needs none.
    #[must_use]
    pub fn has_real_provider(&self) -> bool {
        self.providers().any(|provider| provider.kind != ProviderKind::Demo && provider.is_usable())
    }
}
