//! What model calls of a frame may cost.

use std::time::{Duration, Instant};

use mimir::broker::Dialer;
use mimir::model::agent::AgentSessionId;
use mimir::model::budget::{BudgetKey, BudgetPeriod, BudgetScope};
use mimir::model::event::EventKind;
use mimir::model::frame::Frame;
use mimir::model::ids::SessionId;
use mimir::model::network::NetworkMode;
use mimir::model::principal::Principal;
use mimir::model::usage::{Price, PriceRow, Tokens};
use mimir::models::ProviderKind;
use mimir::store::events::{self, Filter};
use mimir::store::sessions::{self, NewSession};
use mimir::store::{StoreError, budgets, running_calls, usage};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::support::{LIMIT, World, eventually, frame, post, priced, provider};
use crate::scripted_model::ScriptedModel;

const CALL: &str = "/models/scripted/chat/completions";
const DOLLAR: u64 = 1_000_000;

fn prompt(scenario: &str) -> Value {
    json!({"model": "scripted", "stream": true, "messages": [{"role": "user", "content": format!("@@{scenario}@@")}]})
}

async fn world() -> (World, ScriptedModel, Frame) {
    let model = ScriptedModel::start().await;
    let world = World::new(vec![priced(&model.base_url())], Dialer::default());
    let frame = frame(1, NetworkMode::Sealed, &[]);
    world.open(&frame);
    (world, model, frame)
}

impl World {
    async fn limit(&self, scope: BudgetScope, subject: &str, period: BudgetPeriod, limit: u64) {
        let key = BudgetKey { scope, subject: subject.to_owned(), period };
        let set: Result<(), StoreError> =
            self.store.write(move |tx| budgets::set(tx, &key, Some(limit))).await;
        set.expect("a budget");
    }

    async fn limit_frame(&self, frame: &Frame, limit: u64) {
        self.limit(BudgetScope::Frame, frame.id.as_str(), BudgetPeriod::Total, limit).await;
    }

    async fn spent(&self, frame: &Frame) -> u64 {
        let id = frame.id.to_string();
        let spent = self.store.read(move |db| budgets::spent(db, BudgetScope::Frame, &id, 0)).await;
        spent.expect("the books")
    }

    /// Once no call runs any more.
    async fn settled(&self) {
        eventually("every call is booked", || async {
            let running = self.store.read(|db| running_calls::list(db)).await;
            let running = running.map_err(|error| error.to_string())?;
            if running.is_empty() { Ok(()) } else { Err(format!("{running:?}")) }
        })
        .await;
    }

    async fn events(&self) -> Vec<EventKind> {
        let found = self.store.read(|db| events::after(db, 0, &Filter::default(), 1_000)).await;
        found.expect("events").into_iter().map(|event| event.what).collect()
    }
}

fn is_refused(answer: &str, code: &str) -> bool {
    answer.starts_with("HTTP/1.1 402 Payment Required") && answer.contains(&format!(r#""code":"{code}""#))
}

#[tokio::test]
async fn sixty_calls_with_huge_usage_end_at_the_budget() {
    let (world, model, frame) = world().await;
    world.limit_frame(&frame, DOLLAR).await;
    let mut answered = 0;
    for _ in 0..60 {
        let answer = world.call(&frame, CALL, &prompt("usage-huge")).await;
        world.settled().await;
        if answer.starts_with("HTTP/1.1 200") {
            answered += 1;
        } else {
            assert!(is_refused(&answer, "budget_used_up"), "{answer}");
            assert!(
                answer.contains("mimir: the budget of frame")
                    && answer.contains("`mimir budget set 2 --frame"),
                "{answer}"
            );
        }
    }
    assert_eq!((answered, model.seen().len()), (1, 1), "one response goes beyond, and no more");
    assert_eq!(world.spent(&frame).await, 7_500_150);
}

#[tokio::test]
async fn usage_that_cannot_be_ends_at_the_budget_too() {
    for (scenario, most) in [("usage-absurd", 10), ("usage-negative", 60), ("usage-none", 60)] {
        let (world, _model, frame) = world().await;
        world.limit_frame(&frame, 10_000).await;
        let mut answered = 0_u64;
        for _ in 0..60 {
            let answer = world.call(&frame, CALL, &prompt(scenario)).await;
            world.settled().await;
            match answer.starts_with("HTTP/1.1 200") {
                true => answered += 1,
                false => assert!(is_refused(&answer, "budget_used_up"), "{scenario}: {answer}"),
            }
        }
        let each = world.spent(&frame).await / answered;
        assert!(answered < most, "{scenario}: {answered} answers at {each}");
        assert!(each > 100, "{scenario}: {each} millionths is less than its bytes");
        let shares =
            world.store.read(|db| usage::shares(db, usage::Grouping::Model, 0)).await.expect("shares");
        assert_eq!((shares[0].estimated, shares[0].unpriced), (answered, 0), "{scenario}: {shares:?}");
    }
}

#[tokio::test]
async fn calls_that_run_hold_what_they_may_cost_and_others_wait_for_them() {
    let (world, model, frame) = world().await;
    // Each may write 8192 tokens, 12 cents.
    world.limit_frame(&frame, 300_000).await;
    let mut calls = JoinSet::new();
    let world = std::sync::Arc::new(world);
    for _ in 0..8 {
        let (world, frame) = (world.clone(), frame.clone());
        calls.spawn(async move { world.call(&frame, CALL, &prompt("hang")).await });
    }
    eventually("three run", || async {
        let active = model.active();
        if active == 3 { Ok(()) } else { Err(active.to_string()) }
    })
    .await;
    let mut most = 0;
    let began = Instant::now();
    while !calls.is_empty() {
        assert!(began.elapsed() < LIMIT, "{} calls did not end", calls.len());
        most = most.max(model.active());
        model.release();
        if let Ok(Some(answer)) = tokio::time::timeout(Duration::from_millis(20), calls.join_next()).await {
            let answer = answer.expect("no panic");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    }
    assert_eq!(most, 3, "what the fourth may cost was held");
    assert_eq!(model.seen().len(), 8);
}

#[tokio::test]
async fn parallel_calls_go_beyond_by_one_response_each_at_most() {
    let (world, model, frame) = world().await;
    world.limit_frame(&frame, 300_000).await;
    let world = std::sync::Arc::new(world);
    let mut calls = JoinSet::new();
    for _ in 0..30 {
        let (world, frame) = (world.clone(), frame.clone());
        calls.spawn(async move { world.call(&frame, CALL, &prompt("usage-huge")).await });
    }
    let answers = calls.join_all().await;
    world.settled().await;
    let answered = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 200")).count();
    assert!((1..=3).contains(&answered), "{answered} began while something was left");
    assert_eq!(model.seen().len(), answered, "nobody else reached the provider");
    // Whoever was still writing when the first was booked is cut, and booked by what came.
    let spent = world.spent(&frame).await;
    assert!((7_500_150..=7_500_150 * answered as u64).contains(&spent), "{answered} cost {spent}");
}

#[tokio::test]
async fn an_answer_is_cut_at_the_limit_with_words_for_its_reader() {
    let (world, model, frame) = world().await;
    // 4000 bytes of text are 1000 tokens, one and a half cents.
    world.limit_frame(&frame, 15_000).await;
    let answer = world.call(&frame, CALL, &prompt("long")).await;
    let end = answer.rsplit("data: {\"error\"").next().expect("an error");
    assert!(end.contains("mimir: the budget of frame") && end.contains("is used up"), "{end}");
    assert!(answer.contains("data: [DONE]"), "the stream ends in order");
    world.settled().await;
    eventually("the provider is left alone", || async {
        if model.active() == 0 { Ok(()) } else { Err(model.active().to_string()) }
    })
    .await;
    let spent = world.spent(&frame).await;
    assert!((15_000..400_000).contains(&spent), "cut soon after the limit, not at 788000: {spent}");
    let after = world.call(&frame, CALL, &prompt("text")).await;
    assert!(is_refused(&after, "budget_used_up"), "{after}");
}

#[tokio::test]
async fn what_is_held_for_an_answer_that_is_not_read_is_given_back() {
    let model = ScriptedModel::start().await;
    let world = World::impatient(priced(&model.base_url()), Duration::from_millis(300));
    let frame = frame(1, NetworkMode::Sealed, &[]);
    world.open(&frame);
    let mut deaf = world.connect(&frame).await;
    // 2 MB of text: more than what the sockets and the broker hold on the way.
    deaf.write_all(post(CALL, &prompt("unread")).as_bytes()).await.expect("asked");
    world.calls(&frame, 1).await;
    world.settled().await;
    eventually("the provider is left alone", || async {
        if model.active() == 0 { Ok(()) } else { Err(model.active().to_string()) }
    })
    .await;
    let spent = world.spent(&frame).await;
    assert!((1_000..7_500_000).contains(&spent), "booked by what came: {spent}");
    let mut read = Vec::new();
    let end = tokio::time::timeout(LIMIT, deaf.read_to_end(&mut read)).await.expect("an end");
    let ends_in_order = end.is_ok() && read.ends_with(b"0\r\n\r\n");
    assert!(!ends_in_order, "half an answer must not look whole");
}

#[tokio::test]
async fn a_model_without_a_price_is_told_of_once_and_refused_where_a_budget_applies() {
    let model = ScriptedModel::start().await;
    let unknown = provider("scripted", ProviderKind::OpenAiCompatible, &model.base_url());
    let world = World::new(vec![unknown], Dialer::default());
    let frame = frame(1, NetworkMode::Sealed, &[]);
    world.open(&frame);
    for _ in 0..2 {
        assert!(world.call(&frame, CALL, &prompt("text")).await.starts_with("HTTP/1.1 200"));
    }
    world.settled().await;
    let told = world.events().await.into_iter().filter(|event| {
        matches!(event, EventKind::FrameNote { code, text } if code == "no_price" && text.contains("scripted/scripted"))
    });
    assert_eq!(told.count(), 1);
    let costs = world.store.read(|db| usage::cost_by_frame(db)).await.expect("costs");
    assert_eq!((costs[&frame.id].microusd, costs[&frame.id].unpriced), (0, 2));

    world.limit_frame(&frame, DOLLAR).await;
    let refused = world.call(&frame, CALL, &prompt("text")).await;
    assert!(is_refused(&refused, "no_price"), "{refused}");
    assert!(refused.contains("`mimir prices set scripted/scripted INPUT OUTPUT`"), "{refused}");

    let price = Price { input: 1_000_000, output: 1_000_000, ..Price::default() };
    let row = PriceRow {
        provider: "scripted".into(),
        model: "*".into(),
        price,
        as_of: "2026-11-29".into(),
        built_in: false,
    };
    world.budgets.set_prices(&Principal::GATEWAY, vec![row]).await.expect("set");
    assert!(world.call(&frame, CALL, &prompt("text")).await.starts_with("HTTP/1.1 200"));
    world.settled().await;
    assert_eq!(world.spent(&frame).await, 234, "200 in, 34 out, and what is read from a cache is free");

    // They are kept.
    let unknown = provider("scripted", ProviderKind::OpenAiCompatible, &model.base_url());
    let world = world.next_life(vec![unknown]).await;
    world.open(&frame);
    assert!(world.call(&frame, CALL, &prompt("text")).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn what_sub_agents_use_is_billed_to_the_conversation_that_began_them() {
    let (world, _model, frame) = world().await;
    let id = SessionId::from_parts(1, 1);
    let new = NewSession {
        id: id.clone(),
        frame: frame.id.clone(),
        frame_name: frame.name.clone(),
        title: "t".into(),
    };
    let of = id.clone();
    world
        .store
        .write(move |tx| {
            sessions::insert(tx, &new)?;
            sessions::set_agent_session(tx, &of, &AgentSessionId("ses_root".into()))
        })
        .await
        .expect("a conversation");
    world.limit(BudgetScope::Session, id.as_str(), BudgetPeriod::Day, 10_000).await;
    let ask = async |session: &str, parent: Option<&str>| {
        let mut headers = format!("x-session-id: {session}\r\n");
        if let Some(parent) = parent {
            headers.push_str(&format!("x-parent-session-id: {parent}\r\n"));
        }
        let request = post(CALL, &prompt("usage-huge")).replace("x-session-id: ses_abc\r\n", &headers);
        let answer = world.ask(&frame, request.as_bytes()).await;
        world.settled().await;
        answer
    };
    assert!(ask("ses_other", None).await.starts_with("HTTP/1.1 200"), "another conversation");
    assert!(ask("ses_child", Some("ses_root")).await.starts_with("HTTP/1.1 200"));
    // Its child, who may say what it likes about its parent from now on.
    for (session, parent) in
        [("ses_grandchild", "ses_child"), ("ses_child", "ses_other"), ("ses_child", "ses_child")]
    {
        let answer = ask(session, Some(parent)).await;
        assert!(is_refused(&answer, "budget_used_up"), "{session}: {answer}");
        assert!(answer.contains(&format!("--session {id} --per day")), "{answer}");
    }
    assert!(is_refused(&ask("ses_root", None).await, "budget_used_up"));
    assert!(ask("ses_other", None).await.starts_with("HTTP/1.1 200"), "another conversation goes on");
}

#[tokio::test]
async fn a_pause_cuts_what_runs_refuses_what_comes_and_outlives_the_gateway() {
    let (world, model, frame) = world().await;
    let mut stream = world.connect(&frame).await;
    stream.write_all(post(CALL, &prompt("hang")).as_bytes()).await.expect("sent");
    let mut heard = vec![stream.read_u8().await.expect("the answer begins")];
    let began = Instant::now();
    let (changed, cut) = world.budgets.pause(&Principal::GATEWAY).await.expect("paused");
    assert_eq!((changed, cut), (true, 1));
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut heard)).await.expect("in time").expect("an end");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let heard = String::from_utf8_lossy(&heard);
    assert!(heard.contains("mimir: spending is paused; `mimir resume --all`"), "{heard}");
    world.settled().await;
    assert!(world.spent(&frame).await > 0, "what was cut is paid for");

    let refused = world.call(&frame, CALL, &prompt("text")).await;
    assert!(is_refused(&refused, "spending_paused"), "{refused}");
    assert_eq!(world.budgets.pause(&Principal::GATEWAY).await.expect("paused"), (false, 0));
    let world = world.next_life(vec![priced(&model.base_url())]).await;
    world.open(&frame);
    assert!(is_refused(&world.call(&frame, CALL, &prompt("text")).await, "spending_paused"));
    assert!(world.budgets.resume(&Principal::GATEWAY).await.expect("resumed"));
    assert!(world.call(&frame, CALL, &prompt("text")).await.starts_with("HTTP/1.1 200"));
}

#[cfg(feature = "test-support")]
#[tokio::test]
async fn a_call_whose_gateway_dies_anywhere_is_in_the_books_once() {
    for (point, is_told) in
        [("budget.after_row", false), ("budget.before_booking", true), ("budget.after_booking", true)]
    {
        let (world, model, frame) = world().await;
        world.tasks.failpoints().arm(point, 1);
        let mut stream = world.connect(&frame).await;
        stream.write_all(post(CALL, &prompt("text")).as_bytes()).await.expect("sent");
        if is_told {
            let mut heard = Vec::new();
            tokio::time::timeout(LIMIT, stream.read_to_end(&mut heard))
                .await
                .expect("in time")
                .expect("an end");
        }
        let died = tokio::time::timeout(LIMIT, world.tasks.failpoints().died()).await;
        assert_eq!(died.expect("the gateway dies"), point);
        let world = world.next_life(vec![priced(&model.base_url())]).await;
        let sum = world.calls(&frame, 1).await;
        world.settled().await;
        let exact = 200 * 3 + 1_000 * 3 / 10 + 34 * 15;
        match point {
            "budget.after_booking" => assert_eq!(sum.cost_microusd, exact, "{point}"),
            _ => assert!((exact..DOLLAR).contains(&sum.cost_microusd), "{point}: {sum:?}"),
        }
        world.budgets.take_up().await.expect("again");
        assert_eq!(world.calls(&frame, 1).await, sum, "{point}: and not twice");
    }
}

#[tokio::test]
async fn what_comes_to_its_end_is_told_at_80_percent_and_at_the_end_once() {
    let (world, _model, frame) = world().await;
    // One call of the kind costs 1410 millionths.
    world.limit(BudgetScope::Home, "", BudgetPeriod::Day, 6_000).await;
    for _ in 0..6 {
        world.call(&frame, CALL, &prompt("text")).await;
        world.settled().await;
    }
    let told: Vec<(bool, u64, String)> = world
        .events()
        .await
        .into_iter()
        .filter_map(|event| match event {
            EventKind::BudgetWarning { is_used_up, spent_microusd, whose, .. } => {
                Some((is_used_up, spent_microusd, whose))
            }
            _ => None,
        })
        .collect();
    assert_eq!(told, [(false, 5_640, "everything".to_owned()), (true, 7_050, "everything".to_owned())]);
}

/// What the agent would reckon for an answer: it reads the same usage, and knows the same prices.
fn as_the_agent_reckons(answer: &str, price: Price) -> Option<u64> {
    let events = answer.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut json = events.filter_map(|event| serde_json::from_str::<Value>(event).ok());
    let usage = json.rfind(|event| event["usage"].is_object())?["usage"].clone();
    let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0);
    let tokens = Tokens {
        input: usage["prompt_tokens"].as_u64()? - cached,
        output: usage["completion_tokens"].as_u64()?,
        cache_read: cached,
        ..Tokens::default()
    };
    Some(price.cost_microusd(&tokens))
}

#[tokio::test]
async fn five_hundred_calls_are_in_the_books_as_the_agents_reckon_them() {
    const SCENARIOS: [&str; 10] = [
        "text",
        "default",
        "drop",
        "http401",
        "http500",
        "eof",
        "reasoning",
        "usage-none",
        "usage-negative",
        "length",
    ];
    let (world, model, one) = world().await;
    let two = frame(2, NetworkMode::Allow, &[]);
    world.open(&two);
    let world = std::sync::Arc::new(world);
    let price = priced(&model.base_url()).models[0].price.expect("a price");
    let mut calls = JoinSet::new();
    let (mut sums, mut estimated, mut refused) = ([0_u64; 2], [0_u64; 2], 0);
    for n in 0..500_usize {
        if calls.len() >= 16 {
            count(
                calls.join_next().await.expect("a call").expect("no panic"),
                &mut sums,
                &mut estimated,
                &mut refused,
            );
        }
        let (world, frame) = (world.clone(), if n % 3 == 0 { two.clone() } else { one.clone() });
        calls.spawn(async move {
            let answer = world.call(&frame, CALL, &prompt(SCENARIOS[n % 10])).await;
            let whose = usize::from(n % 3 == 0);
            // Nobody knows what was used when the provider did not say it, or said what cannot be.
            let reckoned = as_the_agent_reckons(&answer, price).filter(|_| n % 10 != 8);
            (whose, answer.starts_with("HTTP/1.1 200"), reckoned)
        });
    }
    while let Some(call) = calls.join_next().await {
        count(call.expect("no panic"), &mut sums, &mut estimated, &mut refused);
    }
    world.settled().await;
    for (frame, sum, estimates) in [(&one, sums[0], estimated[0]), (&two, sums[1], estimated[1])] {
        let shares =
            world.store.read(|db| usage::shares(db, usage::Grouping::Frame, 0)).await.expect("shares");
        let share = shares.iter().find(|share| share.name == frame.id.as_str()).expect("its share");
        assert_eq!(share.estimated, estimates, "{shares:?}");
        let id = frame.id.clone();
        let said = world.store.read(move |db| usage::believed(db, &id)).await.expect("a sum");
        assert_eq!(said, sum, "of what providers said");
        assert!(share.cost_microusd > sum, "and what they did not say costs something");
    }
    let all = world.store.read(|db| usage::sum(db, None, 0)).await.expect("a sum");
    assert_eq!((all.calls, refused, all.unpriced), (500, 100, 0));
}

fn count(
    (whose, is_answered, reckoned): (usize, bool, Option<u64>),
    sums: &mut [u64; 2],
    estimated: &mut [u64; 2],
    refused: &mut u64,
) {
    match (is_answered, reckoned) {
        (false, _) => *refused += 1,
        (true, Some(cost)) => sums[whose] += cost,
        (true, None) => estimated[whose] += 1,
    }
}
