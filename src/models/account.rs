//! What a call used: what the provider says when that can be believed, else an estimate from bytes. Pure.

use serde_json::Value;

use super::usage::{Format, Seen};
use crate::model::usage::{Price, Tokens};

/// Bytes of a token, reckoned low so that an estimate is rather too high.
const BYTES_PER_TOKEN: u64 = 4;

/// No token of a text that people or programs read is longer.
const LONGEST_TOKEN: u64 = 64;

/// What a call may write when it does not say.
const USUAL_OUTPUT: u64 = 8_192;

/// No model writes more at once, whatever a call says.
const MOST_OUTPUT: u64 = 65_536;

/// How many answers a call may ask for at once.
const MOST_ANSWERS: u64 = 128;

/// A large picture, as the dearest provider counts it.
const PICTURE_TOKENS: u64 = 3_000;

/// No call costs more, whatever a provider says.
const MOST_USD: f64 = 10_000.0;

/// What is reckoned with where a provider tells what a call costs only when it is over: a dear model.
const STAND_IN: Price =
    Price { input: 5_000_000, output: 25_000_000, cache_read: 500_000, cache_write: 6_250_000 };

/// What a request is expected to use at most.
#[must_use]
pub fn expected(format: Format, request: &Value, bytes: usize) -> Tokens {
    let (limits, answers): (&[&str], &[&str]) = match format {
        Format::Chat => (&["/max_completion_tokens", "/max_tokens"], &["/n"]),
        Format::Anthropic => (&["/max_tokens"], &[]),
        Format::Responses => (&["/max_output_tokens"], &[]),
        Format::Google => (
            &["/generationConfig/maxOutputTokens", "/generation_config/max_output_tokens"],
            &["/generationConfig/candidateCount", "/generation_config/candidate_count"],
        ),
        Format::Uncounted => (&[], &[]),
    };
    let number = |names: &[&str]| names.iter().find_map(|name| request.pointer(name).and_then(Value::as_u64));
    let output = number(limits).unwrap_or(USUAL_OUTPUT).min(MOST_OUTPUT);
    let output = output.saturating_mul(number(answers).unwrap_or(1).clamp(1, MOST_ANSWERS));
    let pictures = pictures_in(request, 0);
    let text = (bytes as u64).saturating_sub(pictures.bytes);
    Tokens { input: tokens_of(text) + pictures.tokens, output, ..Tokens::default() }
}

/// Pictures that lie in a request, in bytes, and what they come to in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pictures {
    bytes: u64,
    tokens: u64,
}

/// A picture counts by its size on the screen, not by its bytes. Only what says that it is one counts as one.
fn pictures_in(value: &Value, depth: u32) -> Pictures {
    let picture = |text: &str| {
        let bytes = text.len() as u64;
        Pictures { bytes, tokens: tokens_of(bytes).min(PICTURE_TOKENS) }
    };
    let sum = |all: Pictures, one: Pictures| Pictures {
        bytes: all.bytes + one.bytes,
        tokens: all.tokens + one.tokens,
    };
    match value {
        _ if depth > 16 => Pictures::default(),
        Value::String(text) if text.starts_with("data:image/") => picture(text),
        Value::Array(items) => {
            items.iter().map(|item| pictures_in(item, depth + 1)).fold(Pictures::default(), sum)
        }
        Value::Object(fields) => {
            let kind =
                ["media_type", "mimeType", "mime_type"].iter().find_map(|name| fields.get(*name)?.as_str());
            match (kind, fields.get("data").and_then(Value::as_str)) {
                (Some(kind), Some(data)) if kind.starts_with("image/") => picture(data),
                _ => {
                    fields.values().map(|field| pictures_in(field, depth + 1)).fold(Pictures::default(), sum)
                }
            }
        }
        _ => Pictures::default(),
    }
}

fn tokens_of(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

/// How a call's cost is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pricing {
    /// The price, if one is known.
    pub price: Option<Price>,
    /// Whether the provider says itself what a call cost.
    pub tells_cost: bool,
}

impl Pricing {
    /// What is reckoned with; none when nothing is known.
    #[must_use]
    pub fn reckoned(&self) -> Option<Price> {
        self.price.or(self.tells_cost.then_some(STAND_IN))
    }

    /// Millionths of a US dollar for these tokens; 0 when nothing is known.
    #[must_use]
    pub fn reckon(&self, tokens: &Tokens) -> u64 {
        self.reckoned().map_or(0, |price| price.cost_microusd(tokens))
    }
}

/// What a call used and cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Tokens.
    pub tokens: Tokens,
    /// Millionths of a US dollar; 0 when no price is known.
    pub cost_microusd: u64,
    /// Whether a price is known.
    pub priced: bool,
    /// Whether it was reckoned from bytes.
    pub estimated: bool,
}

/// An answer that was given, to its end or not.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What it told about itself.
    pub seen: &'a Seen,
    /// How many bytes of it passed that nobody could read.
    pub unread: u64,
    /// What its request was expected to use at most.
    pub expected: Tokens,
}

impl Evidence<'_> {
    /// The account of it.
    #[must_use]
    pub fn account(&self, pricing: Pricing) -> Account {
        let believed = self.believed();
        let estimated = believed.is_none();
        let tokens = believed.unwrap_or_else(|| self.estimate());
        let reckoned = pricing.reckon(&tokens);
        let told = self.seen.cost_usd.filter(|usd| usd.is_finite() && (0.0..=MOST_USD).contains(usd));
        // A price that we know is not talked away: the dearer of both counts, unless the provider is one that says what it costs.
        let told = told.map(micro).map(|told| match pricing.tells_cost {
            true => told,
            false => told.max(reckoned),
        });
        let told = told.filter(|_| !estimated);
        let priced = told.is_some() || pricing.reckoned().is_some();
        Account {
            tokens,
            cost_microusd: told.unwrap_or(reckoned),
            priced,
            estimated: estimated || (told.is_none() && pricing.price.is_none() && pricing.tells_cost),
        }
    }

    /// What it costs so far, seen from outside.
    #[must_use]
    pub fn so_far(&self, pricing: Pricing) -> u64 {
        let estimate = self.estimate();
        let said = self.seen.tokens;
        let is_said = said.input + said.cache_read + said.cache_write > 0 && !self.seen.is_absurd();
        let tokens = if is_said {
            Tokens { output: said.output.max(estimate.output.saturating_sub(said.reasoning)), ..said }
        } else {
            estimate
        };
        pricing.reckon(&tokens)
    }

    /// What the provider says, when it says something that can be.
    fn believed(&self) -> Option<Tokens> {
        let said = self.seen.tokens;
        let written = (said.output + said.reasoning).saturating_mul(LONGEST_TOKEN);
        let possible = self.seen.has_usage
            && !self.seen.is_nonsense
            && !self.seen.is_absurd()
            && said.total() > 0
            && written >= self.seen.text_bytes;
        possible.then_some(said)
    }

    /// From bytes. What is absurdly high may be as much as was asked for.
    fn estimate(&self) -> Tokens {
        let written = tokens_of(self.seen.text_bytes + self.unread);
        let output = if self.seen.is_absurd() { self.expected.output.max(written) } else { written };
        let said = self.seen.tokens;
        // What it said of the request before its answer broke off, unless that is nonsense too.
        let told = said.input + said.cache_read + said.cache_write;
        let can_be = told > 0 && told >= self.expected.input / 2;
        if can_be && !self.seen.is_absurd() && !self.seen.is_nonsense {
            return Tokens { output: output.max(said.output), ..said };
        }
        Tokens { input: self.expected.input, output, ..Tokens::default() }
    }
}

fn micro(usd: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked by the caller")]
    let micro = (usd * 1_000_000.0).ceil() as u64;
    micro
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PRICED: Pricing = Pricing {
        price: Some(Price { input: 1_000_000, output: 10_000_000, cache_read: 0, cache_write: 0 }),
        tells_cost: false,
    };

    fn account(usage: &Value, text: &str, pricing: Pricing) -> Account {
        let mut seen = Seen::default();
        seen.take(Format::Chat, &json!({"choices": [{"delta": {"content": text}}], "usage": usage}));
        let expected = expected(Format::Chat, &json!({"max_tokens": 1_000}), 400);
        Evidence { seen: &seen, unread: 0, expected }.account(pricing)
    }

    #[test]
    fn what_a_provider_says_is_believed_when_it_can_be() {
        let said = account(&json!({"prompt_tokens": 50, "completion_tokens": 20}), "hello", PRICED);
        assert_eq!((said.cost_microusd, said.estimated, said.priced), (250, false, true));
    }

    #[test]
    fn nonsense_never_books_nothing() {
        let text = "a".repeat(400);
        for usage in [
            json!(null),
            json!({}),
            json!({"prompt_tokens": 0, "completion_tokens": 0}),
            json!({"prompt_tokens": -100, "completion_tokens": 20}),
            json!({"prompt_tokens": "many", "completion_tokens": 20}),
            json!({"prompt_tokens": 1, "completion_tokens": 1}),
            json!({"prompt_tokens": 0.5, "completion_tokens": 20}),
        ] {
            let booked = account(&usage, &text, PRICED);
            assert!(booked.estimated, "{usage}");
            assert_eq!(booked.cost_microusd, 100 + 1_000, "100 tokens asked, 100 written: {usage}");
        }
    }

    #[test]
    fn what_is_absurdly_much_books_what_was_asked_for() {
        for usage in [
            json!({"prompt_tokens": 1_000_000_000_u64, "completion_tokens": 5}),
            json!({"prompt_tokens": 5, "completion_tokens": u64::MAX}),
            json!({"prompt_tokens": 1e300, "completion_tokens": 5}),
        ] {
            let booked = account(&usage, "hi", PRICED);
            assert!(booked.estimated, "{usage}");
            assert_eq!(booked.cost_microusd, 100 + 10_000, "{usage}");
        }
    }

    #[test]
    fn a_cost_that_is_told_counts_where_no_price_is_known_or_it_is_not_nothing() {
        let usage = |cost: Value| json!({"prompt_tokens": 50, "completion_tokens": 20, "cost": cost});
        let unknown = Pricing { price: None, tells_cost: false };
        let router = Pricing { price: None, tells_cost: true };
        let cost = |cost: Value, pricing| {
            let booked = account(&usage(cost), "hi", pricing);
            (booked.cost_microusd, booked.priced, booked.estimated)
        };
        assert_eq!(cost(json!(0.001), unknown), (1_000, true, false));
        assert_eq!(cost(json!(0.001), PRICED), (1_000, true, false));
        assert_eq!(cost(json!(0), PRICED), (250, true, false), "a known price is not talked away");
        assert_eq!(cost(json!(0), router), (0, true, false), "there are free ones");
        assert_eq!(cost(json!(-3), PRICED), (250, true, false));
        assert_eq!(cost(json!(1e9), PRICED), (250, true, false));
        assert_eq!(cost(json!(null), unknown), (0, false, false));
        assert_eq!(cost(json!(null), router), (750, true, true), "reckoned as a dear model");
    }

    #[test]
    fn while_it_runs_the_text_counts() {
        let mut seen = Seen::default();
        let expected = expected(Format::Anthropic, &json!({"max_tokens": 100_000_000}), 4_000);
        assert_eq!((expected.input, expected.output), (1_000, MOST_OUTPUT));
        let at = |seen: &Seen| Evidence { seen, unread: 0, expected }.so_far(PRICED);
        assert_eq!(at(&seen), 1_000, "the question is paid for");
        seen.take(Format::Anthropic, &json!({"message": {"usage": {"input_tokens": 2_000}}}));
        assert_eq!(at(&seen), 2_000);
        for _ in 0..10 {
            seen.take(Format::Anthropic, &json!({"delta": {"type": "text_delta", "text": "x".repeat(40)}}));
        }
        assert_eq!(at(&seen), 2_000 + 1_000);
    }
}
