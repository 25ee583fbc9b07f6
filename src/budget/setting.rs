//! Budgets and prices as people set and read them.

use serde_json::json;

use super::{BudgetError, Budgets};
use crate::model::budget::{BudgetKey, BudgetPeriod, BudgetScope, Standing};
use crate::model::ids::{FrameId, RunId};
use crate::model::names::{FrameName, ProjectName};
use crate::model::principal::Principal;
use crate::model::quantity::money;
use crate::model::usage::PriceRow;
use crate::models::is_day;
use crate::store::sessions::{Among, Named};
use crate::store::usage::{self, Grouping, Share};
use crate::store::{Queryable, StoreError, Tx, budgets, frames, prices, projects, sessions};

/// Which budget, in people's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetTarget {
    /// Whose.
    pub scope: BudgetScope,
    /// What it is called; empty for the home.
    pub name: String,
    /// In which time.
    pub period: BudgetPeriod,
}

/// What was spent, put together in four ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Charts {
    /// By frame.
    pub frames: Vec<Share>,
    /// By project.
    pub projects: Vec<Share>,
    /// By model.
    pub models: Vec<Share>,
    /// By day.
    pub days: Vec<Share>,
}

impl Budgets {
    /// Sets a budget; without a limit, none holds even where the configuration has one.
    ///
    /// # Errors
    /// [`BudgetError::NoSubject`].
    pub async fn set(
        &self,
        principal: &Principal,
        target: BudgetTarget,
        limit: Option<u64>,
    ) -> Result<Vec<Standing>, BudgetError> {
        let (principal, defaults) = (principal.clone(), self.inner.settings.now().defaults);
        let now = self.inner.clock.now_ms();
        let change = move |tx: &mut Tx<'_>| {
            let key = key_of(tx, &target)?;
            budgets::set(tx, &key, limit)?;
            let detail = json!({"period": key.period, "limit_microusd": limit});
            tx.audit(&principal, "budget.set", &label(&target), &detail)?;
            let all = budgets::of_subject(tx, key.scope, &key.subject, defaults, now)?;
            Ok::<_, BudgetError>(all)
        };
        let standings = self.inner.store.write_as(change).await?;
        self.changed();
        Ok(standings)
    }

    /// Takes a budget away; what the configuration has holds again.
    ///
    /// # Errors
    /// [`BudgetError::NoSubject`], [`BudgetError::NotSet`].
    pub async fn remove(
        &self,
        principal: &Principal,
        target: BudgetTarget,
    ) -> Result<Vec<Standing>, BudgetError> {
        let (principal, defaults) = (principal.clone(), self.inner.settings.now().defaults);
        let now = self.inner.clock.now_ms();
        let change = move |tx: &mut Tx<'_>| {
            let key = key_of(tx, &target)?;
            if !budgets::remove(tx, &key)? {
                let whose = if target.name.is_empty() { "everything".to_owned() } else { label(&target) };
                return Err(BudgetError::NotSet(format!("{whose} ({})", target.period)));
            }
            tx.audit(&principal, "budget.remove", &label(&target), &json!({"period": key.period}))?;
            let all = budgets::of_subject(tx, key.scope, &key.subject, defaults, now)?;
            Ok::<_, BudgetError>(all)
        };
        let standings = self.inner.store.write_as(change).await?;
        self.changed();
        Ok(standings)
    }

    /// All budgets that hold, as they stand.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn list(&self) -> Result<Vec<Standing>, StoreError> {
        let (defaults, now) = (self.inner.settings.now().defaults, self.inner.clock.now_ms());
        let read = move |db: &crate::store::Db<'_>| {
            let mut subjects: Vec<(BudgetScope, String)> = vec![(BudgetScope::Home, String::new())];
            if defaults.frame.is_some() {
                subjects.extend(
                    frames::list(db)?.into_iter().map(|frame| (BudgetScope::Frame, frame.id.to_string())),
                );
            }
            for (key, _) in budgets::list(db)? {
                let subject = (key.scope, key.subject);
                if !subjects.contains(&subject) {
                    subjects.push(subject);
                }
            }
            subjects.sort();
            let each = subjects.iter().map(|(scope, id)| budgets::of_subject(db, *scope, id, defaults, now));
            Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
        };
        self.inner.store.read(read).await
    }

    /// The budgets that a frame is held to, whoever of it asks.
    ///
    /// # Errors
    /// Whatever the database says.
    pub fn of_frame(&self, db: &impl Queryable, frame: &FrameId) -> Result<Vec<Standing>, StoreError> {
        let payer = budgets::payer(db, frame, None)?;
        budgets::of_payer(db, &payer, self.inner.settings.now().defaults, self.inner.clock.now_ms())
    }

    /// What was spent in so many days, today included.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn charts(&self, days: u32) -> Result<Charts, StoreError> {
        let today = BudgetPeriod::Day.began(self.inner.clock.now_ms());
        let since = today.saturating_sub(u64::from(days.saturating_sub(1)) * 24 * 60 * 60 * 1_000);
        let read = move |db: &crate::store::Db<'_>| {
            Ok(Charts {
                frames: usage::shares(db, Grouping::Frame, since)?,
                projects: usage::shares(db, Grouping::Project, since)?,
                models: usage::shares(db, Grouping::Model, since)?,
                days: usage::shares(db, Grouping::Day, since)?,
            })
        };
        self.inner.store.read(read).await
    }

    /// All prices as they are now.
    #[must_use]
    pub fn prices(&self) -> Vec<PriceRow> {
        self.inner.models.prices().rows().cloned().collect()
    }

    /// Sets prices, for calls from now on.
    ///
    /// # Errors
    /// [`BudgetError::Price`] for one that cannot be.
    pub async fn set_prices(&self, principal: &Principal, rows: Vec<PriceRow>) -> Result<(), BudgetError> {
        rows.iter().try_for_each(check_price)?;
        let (principal, kept) = (principal.clone(), rows.clone());
        let change = move |tx: &mut Tx<'_>| {
            for row in &kept {
                prices::set(tx, row)?;
                let detail = json!({"input_microusd": row.price.input, "output_microusd": row.price.output});
                tx.audit(&principal, "price.set", &format!("{}/{}", row.provider, row.model), &detail)?;
            }
            Ok::<_, StoreError>(())
        };
        self.inner.store.write_as(change).await?;
        self.inner.models.set_prices(rows);
        self.inner.unpriced.lock().clear();
        self.changed();
        Ok(())
    }

    /// Reads the prices that were set.
    pub(super) async fn load_prices(&self) -> Result<(), StoreError> {
        let rows = self.inner.store.read(|db| prices::list(db)).await?;
        self.inner.models.set_prices(rows);
        Ok(())
    }
}

fn check_price(row: &PriceRow) -> Result<(), BudgetError> {
    let plain = |text: &str| !text.is_empty() && text.len() <= 200 && !text.chars().any(char::is_control);
    let price = row.price;
    let dearest = [price.input, price.output, price.cache_read, price.cache_write].into_iter().max();
    if !plain(&row.provider) || !plain(&row.model) || row.provider.contains('/') {
        return Err(BudgetError::Price(format!("{}/{} is no model", row.provider, row.model)));
    }
    if dearest > Some(100_000_000_000) {
        return Err(BudgetError::Price(format!(
            "{}/{} would cost {} for a million tokens; at most $100000 is taken",
            row.provider,
            row.model,
            money(dearest.unwrap_or_default())
        )));
    }
    if !is_day(&row.as_of) {
        return Err(BudgetError::Price(format!("`{}` is no day such as 2026-11-21", row.as_of)));
    }
    Ok(())
}

/// `frame blog`, for the audit log.
fn label(target: &BudgetTarget) -> String {
    format!("{} {}", target.scope, target.name).trim_end().to_owned()
}

/// What people name, as it is kept.
fn key_of(tx: &Tx<'_>, target: &BudgetTarget) -> Result<BudgetKey, BudgetError> {
    let BudgetTarget { scope, name, period } = target;
    let missing = || BudgetError::NoSubject { scope: scope.as_str(), name: name.clone() };
    let subject = match scope {
        BudgetScope::Home => String::new(),
        BudgetScope::Frame => {
            let name = FrameName::parse(name).map_err(|_| missing())?;
            frames::find_by_name(tx, &name)?.ok_or_else(missing)?.id.to_string()
        }
        BudgetScope::Project => {
            let name = ProjectName::parse(name).map_err(|_| missing())?;
            projects::find_by_name(tx, &name)?.ok_or_else(missing)?.id.to_string()
        }
        BudgetScope::Session => match sessions::named(tx, Among::All, name)? {
            Named::One(session) => session.id.to_string(),
            Named::Nothing | Named::Several(_) => return Err(missing()),
        },
        BudgetScope::Run => RunId::parse(name).map_err(|_| missing())?.to_string(),
    };
    Ok(BudgetKey { scope: *scope, subject, period: *period })
}
