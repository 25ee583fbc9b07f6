//! Budgets: who may spend how much in which time, and the sentences about it. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::quantity::money;

/// Whose spending is limited.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum BudgetScope {
    /// Everything that the gateway forwards.
    Home,
    /// The frames of a project.
    Project,
    /// One frame.
    Frame,
    /// A conversation, the sub-agents that it begins included.
    Session,
    /// A run.
    Run,
}

impl BudgetScope {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// In which time. Days and months are those of UTC.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[derive(Default, strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum BudgetPeriod {
    /// Since there is anything to count.
    #[default]
    Total,
    /// Since the month began.
    Month,
    /// Since midnight.
    Day,
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl BudgetPeriod {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// When the one that `now_ms` is in began (UTC ms).
    #[must_use]
    pub fn began(self, now_ms: u64) -> u64 {
        match self {
            Self::Total => 0,
            Self::Day => now_ms - now_ms % DAY_MS,
            Self::Month => {
                let days = now_ms / DAY_MS;
                (days + 1 - u64::from(day_of_month(days))) * DAY_MS
            }
        }
    }

    /// As the end of a sentence.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Total => "in all",
            Self::Month => "this month",
            Self::Day => "today",
        }
    }
}

/// From 1, of a day that is so many days after 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn day_of_month(days: u64) -> u32 {
    let day_of_era = (days + 719_468) % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    u32::try_from(day_of_year - (153 * month + 2) / 5 + 1).unwrap_or(1)
}

/// Which budget.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BudgetKey {
    /// Whose.
    pub scope: BudgetScope,
    /// The id of the project, frame, session or run; empty for the home.
    pub subject: String,
    /// In which time.
    pub period: BudgetPeriod,
}

/// A budget and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub key: BudgetKey,
    /// What people call its subject; empty for the home.
    pub name: String,
    /// Millionths of a US dollar.
    pub limit_microusd: u64,
    /// Booked.
    pub spent_microusd: u64,
    /// Held for calls that run.
    pub reserved_microusd: u64,
}

impl Standing {
    /// What is not spent yet.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.limit_microusd.saturating_sub(self.spent_microusd)
    }

    /// The same in percent of the limit, rounded down.
    #[must_use]
    pub fn percent_left(&self) -> u32 {
        let percent = u128::from(self.left()) * 100 / u128::from(self.limit_microusd.max(1));
        u32::try_from(percent).unwrap_or(100)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.spent_microusd >= self.limit_microusd
    }

    /// Whether calls that run hold all that is left.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.reserved_microusd > 0
            && self.spent_microusd.saturating_add(self.reserved_microusd) >= self.limit_microusd
    }

    /// How much of it is spent, in percent.
    #[must_use]
    pub fn percent(&self) -> u64 {
        match self.limit_microusd {
            0 => 100,
            limit => {
                u64::try_from(u128::from(self.spent_microusd) * 100 / u128::from(limit)).unwrap_or(u64::MAX)
            }
        }
    }

    /// `$0.81 of $1.00 today`.
    #[must_use]
    pub fn amounts(&self) -> String {
        let (spent, limit) = (money(self.spent_microusd), money(self.limit_microusd));
        format!("{spent} of {limit} {}", self.key.period.words())
    }

    /// Why nothing more is spent, and what to do about it.
    #[must_use]
    pub fn used_up(&self) -> String {
        let twice = self.limit_microusd.saturating_mul(2).max(1_000_000).div_ceil(1_000_000);
        format!(
            "{THE_BUDGET_OF}{self} is used up: {}; `mimir budget set {twice}{}` raises it",
            self.amounts(),
            self.options()
        )
    }

    /// What stands behind `mimir budget set 5` to name it.
    #[must_use]
    pub fn options(&self) -> String {
        let whose = match self.key.scope {
            BudgetScope::Home => String::new(),
            scope => format!(" --{scope} {}", self.name),
        };
        match self.key.period {
            BudgetPeriod::Total => whose,
            period => format!("{whose} --per {period}"),
        }
    }
}

/// `frame blog`, `everything`.
impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.scope {
            BudgetScope::Home => f.write_str("everything"),
            scope => write!(f, "{scope} {}", self.name),
        }
    }
}

const THE_BUDGET_OF: &str = "the budget of ";
/// Why nothing is spent while it is paused.
pub const PAUSED: &str = "spending is paused; `mimir resume --all` lets it go on";
const NO_PRICE: &str = "no price is known for ";
/// What the broker puts before every sentence of its own.
pub const OURS: &str = "mimir: ";

/// Why a model without a price is not called while a budget applies.
#[must_use]
pub fn no_price(provider: &str, model: &str, budget: &Standing) -> String {
    let model: String =
        model.chars().filter(|c| !matches!(c, '"' | '`') && !c.is_control()).take(100).collect();
    format!(
        "{NO_PRICE}{provider}/{model}, and the budget of {budget} needs one; \
         `mimir prices set {provider}/{model} INPUT OUTPUT` (US dollars for a million tokens; 0 0 when it is free)"
    )
}

const STARTS: [&str; 3] = [THE_BUDGET_OF, "spending is paused", NO_PRICE];

/// Whether a sentence is one of ours about money, as [`refusal_in`] finds it.
#[must_use]
pub fn is_refusal(sentence: &str) -> bool {
    STARTS.iter().any(|start| sentence.starts_with(start))
}

/// Whether that sentence is about a price: time does not help then, and somebody has to say it.
#[must_use]
pub fn is_about_a_price(sentence: &str) -> bool {
    sentence.starts_with(NO_PRICE)
}

/// The sentence about money in what an agent says about a call that failed: as it is, or in the JSON of an error.
#[must_use]
pub fn refusal_in(text: &str) -> Option<String> {
    let found = STARTS.iter().filter_map(|start| text.find(&format!("{OURS}{start}")));
    let from = found.min()?;
    let sentence = text.get(from + OURS.len()..)?;
    Some(sentence.split('"').next().unwrap_or(sentence).trim_end_matches('\\').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(spent: u64, reserved: u64, limit: u64) -> Standing {
        Standing {
            key: BudgetKey { scope: BudgetScope::Frame, subject: "frm_1".into(), period: BudgetPeriod::Day },
            name: "blog".into(),
            limit_microusd: limit,
            spent_microusd: spent,
            reserved_microusd: reserved,
        }
    }

    #[test]
    fn days_and_months_begin_at_midnight_utc() {
        let at = |days: u64| days * DAY_MS + 12_345;
        // 1970-01-01, 2024-02-29, 2024-03-01, 2026-11-29, 2100-03-01
        for (days, first) in [(0, 0), (19_782, 19_754), (19_783, 19_783), (20_786, 20_758), (47_541, 47_541)]
        {
            assert_eq!(BudgetPeriod::Day.began(at(days)), days * DAY_MS);
            assert_eq!(BudgetPeriod::Month.began(at(days)), first * DAY_MS, "{days}");
            assert_eq!(BudgetPeriod::Total.began(at(days)), 0);
        }
    }

    #[test]
    fn a_budget_is_used_up_at_its_limit_and_held_by_those_who_run() {
        assert!(!standing(99, 0, 100).is_used_up());
        assert!(standing(100, 0, 100).is_used_up());
        assert!(standing(0, 0, 0).is_used_up(), "nothing may be spent");
        assert!(standing(50, 50, 100).is_held());
        assert!(!standing(50, 49, 100).is_held());
        assert!(!standing(99, 0, 100).is_held(), "nobody runs");
        assert_eq!(standing(u64::MAX, 0, 1).percent(), u64::MAX);
        assert_eq!(standing(81, 0, 100).percent(), 81);
    }

    #[test]
    fn a_refusal_is_found_in_what_the_agent_makes_of_it() {
        let said = standing(1_000_000, 0, 1_000_000).used_up();
        assert_eq!(
            said,
            "the budget of frame blog is used up: $1.00 of $1.00 today; `mimir budget set 2 --frame blog --per day` raises it"
        );
        let whole = format!("{OURS}{said}");
        assert_eq!(refusal_in(&whole), Some(said.clone()));
        let json = serde_json::json!({"type": "error", "error": {"message": whole, "code": "x"}}).to_string();
        assert_eq!(refusal_in(&json), Some(said.clone()));
        let paused = format!("{OURS}{PAUSED}");
        assert_eq!(refusal_in(&paused).as_deref(), Some(PAUSED));
        assert!(is_refusal(PAUSED) && is_refusal(&said) && !is_refusal("it broke"));
        let unpriced = no_price("local", "a\"`b", &standing(0, 0, 1));
        assert!(unpriced.contains("local/ab"), "{unpriced}");
        assert_eq!(refusal_in(&format!("Error: {OURS}{unpriced}")), Some(unpriced));
        assert_eq!(refusal_in("the budget of nobody"), None);
    }
}
