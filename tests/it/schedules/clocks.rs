//! A machine that sleeps, and clocks that are put forward and back, under the executable.

use mimir::clock::Clock;
use mimir::model::schedule::{CatchUp, TickCause, TickOutcome};
use mimir::wire::schedules::{AddSchedule, TickView};
use rustix::process::{Pid, Signal, kill_process};

use super::{FakeClock, Gateway, looks, until};

/// In Berlin it is 03:00 after 01:59:59 on 2027-03-28, at this instant (UTC seconds) …
const SPRING: u64 = 1_806_195_600;
/// … and on 2027-10-31 it is 02:30 at this one, and again an hour later.
const AUTUMN: u64 = 1_824_942_600;
const HOUR: u64 = 3600;

fn count(ticks: &[TickView], cause: TickCause) -> usize {
    ticks.iter().filter(|tick| tick.cause == cause).count()
}

/// Strictly one after the other: no time is seen to twice.
fn each_once(ticks: &[TickView]) {
    assert!(ticks.windows(2).all(|pair| pair[0].instant < pair[1].instant), "{ticks:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_slept_makes_up_for_it_once_and_so_does_one_that_was_off() {
    let mut gateway = Gateway::new();
    let test = "a_machine_that_slept_makes_up_for_it_once_and_so_does_one_that_was_off";
    let Some(clock) = FakeClock::of(&mut gateway, test) else { return };
    gateway.start();
    let client = gateway.answers().await;
    client.add_schedule(&looks("often", "*/2 * * * * *")).await.expect("added");
    client.add_schedule(&looks("quarters", "*/15 * * * *")).await.expect("added");
    let none = AddSchedule { catch_up: CatchUp::None, ..looks("none", "*/15 * * * *") };
    client.add_schedule(&none).await.expect("added");
    until(&client, "often", &gateway, |ticks| ticks.len() >= 2).await;

    // Neither this program nor the time that it sleeps by goes on while a machine sleeps.
    let pid = Pid::from_child(gateway.child.as_ref().expect("it runs"));
    kill_process(pid, Signal::STOP).expect("stopped");
    clock.is("+3h");
    kill_process(pid, Signal::CONT).expect("goes on");
    let awake = |ticks: &[TickView], times: usize| {
        let last = ticks.iter().rposition(|tick| tick.cause == TickCause::CatchUp);
        count(ticks, TickCause::CatchUp) >= times && last.is_some_and(|at| ticks.len() >= at + 3)
    };
    until(&client, "often", &gateway, |ticks| awake(ticks, 1)).await;
    until(&client, "quarters", &gateway, |ticks| count(ticks, TickCause::CatchUp) == 1).await;
    until(&client, "none", &gateway, |ticks| !ticks.is_empty()).await;

    gateway.kill();
    clock.is("+6h");
    gateway.start();
    let client = gateway.answers().await;
    let often = until(&client, "often", &gateway, |ticks| awake(ticks, 2)).await;
    let is_there = |ticks: &[TickView]| count(ticks, TickCause::CatchUp) == 2;
    let quarters = until(&client, "quarters", &gateway, is_there).await;
    let missed =
        |ticks: &[TickView]| ticks.iter().filter(|tick| tick.outcome == TickOutcome::Missed).count() >= 2;
    let none = until(&client, "none", &gateway, missed).await;
    for ticks in [&often, &quarters, &none] {
        each_once(ticks);
        assert!(count(ticks, TickCause::CatchUp) <= 2, "once for each time away: {ticks:#?}");
    }
    // A quarter of an hour may have begun meanwhile.
    assert!(quarters.len() <= 4, "{quarters:#?}");
    assert!(none.iter().all(|tick| tick.cause == TickCause::Time || tick.outcome == TickOutcome::Missed));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_executable_leaves_nothing_out_and_repeats_nothing_where_clocks_change() {
    let mut gateway = Gateway::new();
    let test = "the_executable_leaves_nothing_out_and_repeats_nothing_where_clocks_change";
    let Some(clock) = FakeClock::of(&mut gateway, test) else { return };
    // So many seconds before that instant.
    let comes_to = |instant: u64, seconds: u64| {
        let now = i128::from(Clock::system().now_ms() / 1000);
        clock.is(&format!("{:+}", i128::from(instant - seconds) - now));
    };
    comes_to(SPRING, 15);
    gateway.start();
    let client = gateway.answers().await;
    let nightly = AddSchedule { zone: Some("Europe/Berlin".into()), ..looks("nightly", "30 2 * * *") };
    client.add_schedule(&nightly).await.expect("added");
    // It fires all the time, so whoever has seen a jump says so.
    client.add_schedule(&looks("witness", "*/2 * * * * *")).await.expect("added");
    let behind = |instant: u64| {
        move |ticks: &[TickView]| ticks.last().is_some_and(|tick| tick.instant > (instant + 2) * 1000)
    };
    let next = client.schedule("nightly").await.expect("there").next;
    assert_eq!(
        next[..2],
        [SPRING * 1000, (SPRING + 47 * HOUR / 2) * 1000],
        "02:30 is left out: after the gap"
    );
    let at = |instant: u64| {
        move |ticks: &[TickView]| ticks.last().is_some_and(|tick| tick.instant == instant * 1000)
    };
    let spring = until(&client, "nightly", &gateway, at(SPRING)).await;
    assert_eq!((spring.len(), spring[0].cause, spring[0].outcome), (1, TickCause::Time, TickOutcome::Run));
    // 03:30 of that day is no other 02:30.
    comes_to(SPRING + HOUR / 2, 2);
    until(&client, "witness", &gateway, behind(SPRING + HOUR / 2)).await;
    assert_eq!(client.schedule_history("nightly", 1000).await.expect("a history").len(), 1);
    assert_eq!(client.schedule("nightly").await.expect("there").next[0], (SPRING + 47 * HOUR / 2) * 1000);

    // What lies between is made up for once. 02:30 comes twice that night, and the gateway is killed in between.
    comes_to(AUTUMN, 15);
    let autumn = until(&client, "nightly", &gateway, at(AUTUMN)).await;
    let causes: Vec<TickCause> = autumn.iter().map(|tick| tick.cause).collect();
    assert_eq!(causes, [TickCause::Time, TickCause::CatchUp, TickCause::Time], "{autumn:#?}");
    gateway.kill();
    comes_to(AUTUMN + HOUR, 2);
    gateway.start();
    let client = gateway.answers().await;
    until(&client, "witness", &gateway, behind(AUTUMN + HOUR)).await;
    let after = client.schedule_history("nightly", 1000).await.expect("a history");
    assert_eq!(after.len(), 3, "02:30 was already: {after:#?}");
    let next = client.schedule("nightly").await.expect("there").next[0];
    assert_eq!(next, (AUTUMN + 25 * HOUR) * 1000);
}
