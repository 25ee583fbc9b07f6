//! What is counted with every booking is what the books say, whatever happened.

use std::path::Path;

use proptest::prelude::*;

use super::budgets::{Payer, spent};
use super::running_calls::{self, NewCall};
use super::usage::{self, ModelCall};
use super::*;
use crate::model::agent::AgentSessionId;
use crate::model::budget::{BudgetPeriod, BudgetScope};
use crate::model::ids::{FrameId, ProjectId, RunId};
use crate::model::secret::Secret;
use crate::model::usage::Tokens;

const DAY_MS: u64 = 86_400_000;

/// Something that happens to the books.
#[derive(Clone, Debug)]
enum Step {
    Booked {
        payer: u8,
        cost: u32,
    },
    /// A call begins, and its end is never heard of.
    Begun {
        payer: u8,
        held: u32,
    },
    /// A booking that does not come about.
    Broken {
        payer: u8,
        cost: u32,
    },
    /// Rows are taken away, or corrected.
    Removed,
    Corrected {
        cost: u32,
    },
    Later {
        hours: u16,
    },
    /// The gateway dies, and the next one takes the books up.
    Restarted,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<u8>(), any::<u32>()).prop_map(|(payer, cost)| Step::Booked { payer, cost }),
        2 => (any::<u8>(), any::<u32>()).prop_map(|(payer, held)| Step::Begun { payer, held }),
        1 => (any::<u8>(), any::<u32>()).prop_map(|(payer, cost)| Step::Broken { payer, cost }),
        1 => Just(Step::Removed),
        1 => any::<u32>().prop_map(|cost| Step::Corrected { cost }),
        3 => (0_u16..900).prop_map(|hours| Step::Later { hours }),
        2 => Just(Step::Restarted),
    ]
}

fn payer(number: u8) -> Payer {
    let one_of = |n: u8| u128::from(number % n);
    Payer {
        frame: FrameId::from_parts(1, one_of(3)),
        project: number.is_multiple_of(2).then(|| ProjectId::from_parts(1, one_of(5))),
        root: (!number.is_multiple_of(3)).then(|| AgentSessionId(format!("ses_{}", number % 4))),
        run: number.is_multiple_of(5).then(|| RunId::from_parts(1, one_of(7))),
    }
}

fn booked(number: u8, cost: u32) -> ModelCall {
    ModelCall {
        payer: payer(number),
        agent_session: None,
        provider: "demo".to_owned(),
        model: "demo".to_owned(),
        tokens: Tokens::default(),
        cost_microusd: cost.into(),
        priced: true,
        estimated: false,
        status: 200,
    }
}

fn begun(number: u8, held: u32, life: u64) -> NewCall {
    NewCall {
        life,
        payer: payer(number),
        agent_session: None,
        provider: "demo".to_owned(),
        model: "demo".to_owned(),
        tokens: Tokens::default(),
        reserved_microusd: held.into(),
        priced: true,
    }
}

fn open(folder: &Path, clock: &Clock) -> Store {
    let options = OpenOptions {
        path: folder.join("mimir.db"),
        key: Secret::new("07".repeat(32)),
        backups: folder.join("backups"),
    };
    Store::open(options, clock.clone()).expect("a store")
}

async fn take(store: &Store, step: Step, life: u64) -> Result<(), StoreError> {
    let change = move |tx: &mut Tx<'_>| match step {
        Step::Booked { payer, cost } => usage::insert(tx, &booked(payer, cost)),
        Step::Begun { payer, held } => running_calls::begin(tx, &begun(payer, held, life)).map(drop),
        Step::Broken { payer, cost } => {
            usage::insert(tx, &booked(payer, cost))?;
            Err(StoreError::Closed)
        }
        Step::Removed => tx.change("DELETE FROM usage WHERE id % 3 = 0", ()).map(drop),
        Step::Corrected { cost } => {
            tx.change("UPDATE usage SET cost_microusd = ?1 WHERE id % 4 = 1", (cost,)).map(drop)
        }
        Step::Later { .. } | Step::Restarted => Ok(()),
    };
    store.write_soon(change).await
}

/// Rows that the books have and the counters do not, or the other way round.
async fn differences(store: &Store) -> Vec<String> {
    const BOOKS: &str = "
        SELECT scope, subject, day, sum(cost) AS microusd FROM (
            SELECT 'home' AS scope, '' AS subject, at / 86400000 AS day, cost_microusd AS cost FROM usage
            UNION ALL SELECT 'frame', frame_id, at / 86400000, cost_microusd FROM usage
            UNION ALL SELECT 'project', project_id, at / 86400000, cost_microusd FROM usage
            UNION ALL SELECT 'run', run_id, at / 86400000, cost_microusd FROM usage
            UNION ALL SELECT 'session', frame_id || '/' || root_session, at / 86400000, cost_microusd FROM usage)
         WHERE subject IS NOT NULL GROUP BY 1, 2, 3 HAVING sum(cost) <> 0";
    const COUNTERS: &str = "SELECT scope, subject, day, microusd FROM spent WHERE day >= 0 AND microusd <> 0";
    const TOTALS: &str = "SELECT scope, subject, sum(microusd) FROM spent WHERE day >= 0 GROUP BY 1, 2
        EXCEPT SELECT scope, subject, microusd FROM spent WHERE day = -1";
    let found = store.read(move |db| {
        let mut all = db.rows(&format!("{BOOKS} EXCEPT {COUNTERS}"), (), line)?;
        all.extend(db.rows(&format!("{COUNTERS} EXCEPT {BOOKS}"), (), line)?);
        all.extend(db.rows(TOTALS, (), line)?);
        Ok(all)
    });
    found.await.expect("rows")
}

fn line(row: &rusqlite::Row<'_>) -> Result<String, StoreError> {
    let (scope, subject): (String, String) = (row.get(0)?, row.get(1)?);
    Ok(format!("{scope} {subject} {}", row.get::<_, i64>(2)?))
}

/// What a budget is held against, with what the books say to it.
async fn both(store: &Store, frame: &FrameId, since_ms: u64) -> (u64, u64) {
    let (id, of) = (frame.to_string(), frame.clone());
    let found = store.read(move |db| {
        let counted = spent(db, BudgetScope::Frame, &id, since_ms)?;
        Ok((counted, usage::sum(db, Some(&of), since_ms)?.cost_microusd))
    });
    found.await.expect("sums")
}

async fn run(steps: Vec<Step>) {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::manual(20_000 * DAY_MS);
    let mut store = open(folder.path(), &clock);
    let mut life = 1;
    for step in steps {
        match &step {
            Step::Later { hours } => clock.advance_ms(u64::from(*hours) * 3_600_000),
            Step::Restarted => {
                drop(store);
                store = open(folder.path(), &clock);
                life += 1;
                let taken = store.write_soon(move |tx| running_calls::book_left_over(tx, life)).await;
                taken.expect("taken up");
            }
            _ => {
                let is_broken = matches!(step, Step::Broken { .. });
                assert_eq!(take(&store, step, life).await.is_err(), is_broken);
            }
        }
    }
    assert_eq!(differences(&store).await, Vec::<String>::new());
    for number in 0..3 {
        let frame = FrameId::from_parts(1, number);
        for period in [BudgetPeriod::Total, BudgetPeriod::Month, BudgetPeriod::Day] {
            let (counted, books) = both(&store, &frame, period.began(clock.now_ms())).await;
            assert_eq!(counted, books, "{frame} {period:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_counters_say_what_the_books_say(steps in proptest::collection::vec(step(), 1..60)) {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(run(steps));
    }
}
