//! The end of a model call: what it used and cost, told once, whatever became of it.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;

use super::Prices;
use super::account::{Account, Evidence, Pricing};
use super::meter::Meter;
use super::provider::ProviderSettings;
use super::tap::Tap;
use super::usage::Format;
use crate::model::usage::{Price, Tokens};

/// What a call used. Made when its answer has ended, in whichever way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReport {
    /// The provider's name.
    pub provider: String,
    /// The model that was asked for.
    pub model: String,
    /// What it used: as the provider says, or an estimate.
    pub tokens: Tokens,
    /// Millionths of a US dollar; 0 when no price is known.
    pub cost_microusd: u64,
    /// Whether a price is known.
    pub priced: bool,
    /// Whether it was reckoned from bytes.
    pub estimated: bool,
    /// The provider's status; 0 when it was asked and nobody heard its answer.
    pub status: u16,
    /// Why the answer ended, in the provider's words.
    pub finish: Option<String>,
    /// Whether the answer was passed to its end.
    pub complete: bool,
}

/// Called once with the report of a call that a provider was asked to answer and that may cost something.
pub type OnEnd = Box<dyn FnOnce(CallReport) + Send>;

/// What is known of a call before it is made.
pub(super) struct About {
    pub(super) provider: ProviderSettings,
    pub(super) model: String,
    pub(super) pricing: Pricing,
    pub(super) prices: Arc<Prices>,
    pub(super) expected: Tokens,
}

/// Counts an answer, and reports when it is dropped, so that no way out of a call is forgotten.
pub(super) struct Ending {
    about: About,
    report: CallReport,
    tap: Tap,
    meter: Meter,
    /// Whether a provider may have the request.
    is_asked: bool,
    on_end: Option<OnEnd>,
}

impl Ending {
    /// Of a call that was not made yet, and whose answer is one document until it is known better.
    pub(super) fn new(about: About, format: Format, meter: Meter, on_end: Option<OnEnd>) -> Self {
        let report = CallReport {
            provider: about.provider.name.clone(),
            model: about.model.clone(),
            tokens: Tokens::default(),
            cost_microusd: 0,
            priced: false,
            estimated: false,
            status: 0,
            finish: None,
            complete: false,
        };
        Self { about, report, tap: Tap::whole(format), meter, is_asked: false, on_end }
    }

    pub(super) fn provider(&self) -> &ProviderSettings {
        &self.about.provider
    }

    pub(super) fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// Whether a provider may have the request: then it may be paid for.
    pub(super) fn asked(&mut self, is_asked: bool) {
        self.is_asked = is_asked;
    }

    /// The provider answers with that.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.report.status = status.as_u16();
    }

    /// The answer is a stream of events.
    pub(super) fn streams(&mut self, format: Format) {
        self.tap = Tap::stream(format);
    }

    /// All of the answer came.
    pub(super) fn complete(&mut self) {
        self.report.complete = true;
    }

    /// Counts a piece of the answer, and gives what goes on to the frame.
    pub(super) fn count(&mut self, piece: Bytes) -> Bytes {
        let out = self.tap.pass(piece);
        self.meter.report(self.evidence().so_far(self.about.pricing));
        out
    }

    /// The answer came to its end: what is still to be sent.
    pub(super) fn finish(&mut self) -> Bytes {
        self.complete();
        self.tap.end()
    }

    /// What is said in an answer that has to end here; none in one that does not stream.
    pub(super) fn cut(&self, code: &str, text: &str) -> Option<Bytes> {
        self.tap.cut(code, text)
    }

    fn evidence(&self) -> Evidence<'_> {
        Evidence { seen: &self.tap.seen, unread: self.tap.unread, expected: self.about.expected }
    }

    fn account(&self) -> Account {
        let account = self.evidence().account(self.about.pricing);
        // A request may name one model and mean another: the one that says that it answered counts if it is dearer.
        let answered = self.tap.seen.model.as_deref().filter(|model| *model != self.report.model);
        let price = answered.and_then(|model| price_of(&self.about.prices, &self.about.provider, model));
        let dearer = price.map_or(0, |price| price.cost_microusd(&account.tokens));
        Account {
            cost_microusd: account.cost_microusd.max(dearer),
            priced: account.priced || price.is_some(),
            ..account
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(on_end) = self.on_end.take().filter(|_| self.is_asked) else { return };
        self.tap.read_whole();
        let mut report = self.report.clone();
        report.finish = self.tap.seen.finish.clone();
        // A provider that refuses is not paid.
        if report.status == 0 || (200..300).contains(&report.status) {
            let Account { tokens, cost_microusd, priced, estimated } = self.account();
            report = CallReport { tokens, cost_microusd, priced, estimated, ..report };
        } else {
            report.priced = self.about.pricing.reckoned().is_some();
        }
        on_end(report);
    }
}

/// What a model costs: as the configuration says, else as the table does.
pub(super) fn price_of(prices: &Prices, provider: &ProviderSettings, model: &str) -> Option<Price> {
    let named = provider.models.iter().find(|known| known.id == model).and_then(|known| known.price);
    named.or_else(|| prices.find(&provider.name, provider.kind.as_str(), model))
}
