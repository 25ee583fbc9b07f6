use super::*;

fn at(text: &str) -> u64 {
    let timestamp: jiff::Timestamp = text.parse().expect("a time");
    u64::try_from(timestamp.as_millisecond()).expect("after 1970")
}

fn zone(name: &str) -> Zone {
    Zone::parse(name).expect("a zone")
}

fn times(expression: &str, zone: &Zone, from: &str, count: usize) -> Vec<String> {
    let expression = Expression::parse(expression).expect("an expression");
    let times = expression.times_after(zone, at(from)).take(count);
    times
        .map(|ms| {
            jiff::Timestamp::from_millisecond(i64::try_from(ms).expect("fits")).expect("a time").to_string()
        })
        .collect()
}

#[test]
fn a_time_that_is_left_out_fires_once_after_the_gap() {
    let berlin = zone("Europe/Berlin");
    // On 2026-03-29 it is 03:00 after 01:59:59, which is 01:00 UTC.
    let daily = times("30 2 * * *", &berlin, "2026-03-28T12:00:00Z", 2);
    assert_eq!(daily, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    let often = times("*/10 2 * * *", &berlin, "2026-03-28T12:00:00Z", 2);
    assert_eq!(often, ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"], "once for six of them");
    let both = times("0 2,3 * * *", &berlin, "2026-03-28T12:00:00Z", 3);
    assert_eq!(
        both,
        ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z", "2026-03-30T01:00:00Z"],
        "one instant is one time"
    );
    let from_inside = times("30 2 * * *", &berlin, "2026-03-29T01:00:00Z", 1);
    assert_eq!(from_inside, ["2026-03-30T00:30:00Z"]);
}

#[test]
fn a_time_that_happens_twice_fires_the_first_time() {
    let berlin = zone("Europe/Berlin");
    // On 2026-10-25 it is 02:00 again after 02:59:59, at 01:00 UTC.
    let daily = times("30 2 * * *", &berlin, "2026-10-24T12:00:00Z", 2);
    assert_eq!(daily, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    let second_half = times("45 2 * * *", &berlin, "2026-10-25T01:10:00Z", 1);
    assert_eq!(second_half, ["2026-10-26T01:45:00Z"], "the first 02:45 was before");
    let across = times("0,30 2-3 * * *", &berlin, "2026-10-24T23:00:00Z", 5);
    let wanted = [
        "2026-10-25T00:00:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-25T02:00:00Z",
        "2026-10-25T02:30:00Z",
        "2026-10-26T01:00:00Z",
    ];
    assert_eq!(across, wanted);
}

#[test]
fn an_interval_follows_real_time() {
    let berlin = zone("Europe/Berlin");
    let hourly = times("0 * * * *", &berlin, "2026-10-24T23:30:00Z", 4);
    assert_eq!(
        hourly,
        ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z", "2026-10-25T03:00:00Z"]
    );
    assert_eq!(times("@hourly", &berlin, "2026-10-24T23:30:00Z", 4), hourly);
    let spring = times("*/30 * * * *", &berlin, "2026-03-29T00:15:00Z", 3);
    assert_eq!(spring, ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]);
    // Half an hour is set back here, at 15:00 UTC: 01:30 to 02:00 happens twice.
    let island = times("15,45 * * * *", &zone("Australia/Lord_Howe"), "2026-04-04T14:30:00Z", 3);
    assert_eq!(island, ["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z", "2026-04-04T15:45:00Z"]);
    let every = times("every 90m", &berlin, "2026-03-29T00:00:00Z", 3);
    assert_eq!(every, ["2026-03-29T01:30:00Z", "2026-03-29T03:00:00Z", "2026-03-29T04:30:00Z"]);
    assert_eq!(times("@every 1h30m", &berlin, "2026-03-29T00:00:00Z", 3), every);
}

#[test]
fn what_never_fires_or_is_no_expression_is_refused_with_a_reason() {
    for (text, why) in [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("0 0 1 1 * 2030 x", "five fields"),
        ("0 0 0 1 1 * 2030", "five fields"),
        ("60 * * * *", "no expression"),
        ("0 0 30 2 *", "never fires"),
        ("0 0 31 4,6,9,11 *", "never fires"),
        ("0 0 31 2 +mon", "never fires"),
        ("*/0 * * * *", "no expression"),
        ("1,,2 * * * *", "between two commas"),
        ("@reboot", "is no time"),
        ("@fortnightly", "not known"),
        ("@daily * * * *", "not known"),
        ("every", "five fields"),
        ("every day", "no period"),
        ("every 0s", "no period"),
        ("every 1d", "a day or more"),
        ("every 36h", "a day or more"),
        ("ä * * * *", "characters"),
    ] {
        let refused = Expression::parse(text).expect_err(text).to_string();
        assert!(refused.contains(why), "{text}: {refused}");
    }
    assert!(Expression::parse(&format!("{} * * * *", "1,".repeat(80))).is_err());
    // Once in 28 years, or in 40 around 2100.
    let rare = times("0 0 29 2 +mon", &Zone::utc(), "2026-01-01T00:00:00Z", 2);
    assert_eq!(rare, ["2044-02-29T00:00:00Z", "2072-02-29T00:00:00Z"]);
}

#[test]
fn expressions_are_said_in_words() {
    let words = |text: &str| Expression::parse(text).expect("fine").words();
    assert_eq!(
        words("  0  9 * *   mon-fri "),
        "At 09:00, on Monday, Tuesday, Wednesday, Thursday, and Friday"
    );
    assert_eq!(words("every 90m"), "Every 1 h 30 min, counted from midnight UTC of 1970-01-01");
    assert_eq!(Expression::parse(" 0  9 * *  mon-fri ").expect("fine").as_str(), "0 9 * * mon-fri");
    assert_eq!(words("@midnight"), words("0 0 * * *"));
}

#[test]
fn zones_are_names_of_the_database() {
    for good in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+3", "Asia/Kathmandu"] {
        assert_eq!(zone(good).as_str(), good);
    }
    for bad in [
        "",
        "Mars/Olympus",
        "../../etc/passwd",
        "/etc/localtime",
        "Europe/Berlin\n",
        "CEST5",
        &"a".repeat(61),
    ] {
        assert!(Zone::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(zone("Asia/Kathmandu").written(at("2026-12-01T03:15:00Z")), "Tue 2026-12-01 09:00 +0545");
    assert_eq!(zone("Europe/Berlin").written(at("2026-12-01T08:00:05Z")), "Tue 2026-12-01 09:00:05 CET");
}

fn spec(expression: &str) -> ScheduleSpec {
    let frame = FrameName::parse("blog").ok();
    let action = ScheduleAction::Prompt { text: "hello".into(), frame, project: None, model: None };
    ScheduleSpec::new(expression, "Europe/Berlin", action)
}

#[test]
fn what_passed_is_made_up_for_once_or_not_at_all() {
    let plan = spec("0 9 * * *").plan().expect("fine");
    let nine = at("2026-12-01T08:00:00Z");
    let (minute, hour) = (60_000, 3_600_000);
    let due = |now: u64| plan.due(nine, 0, CatchUp::Once, now);
    assert_eq!(due(nine - 1), Due::NotYet(nine));
    assert_eq!(due(nine), Due::Now(TickCause::Time));
    assert_eq!(due(nine + 2 * hour), Due::Now(TickCause::Time));
    assert_eq!(due(nine + 2 * hour + 1), Due::Now(TickCause::CatchUp));
    assert_eq!(due(nine + 4000 * hour), Due::Now(TickCause::CatchUp));
    assert_eq!(plan.due(nine, 0, CatchUp::None, nine + 2 * hour + 1), Due::Missed);
    assert_eq!(plan.next(nine, 0, nine + 50 * hour), Some(nine + 72 * hour), "two mornings are not counted");
    let often = spec("* * * * *").plan().expect("fine");
    assert_eq!(often.grace_ms(nine), 2 * minute, "a busy machine is not away");
    assert_eq!(spec("0 * * * *").plan().expect("fine").grace_ms(nine), 30 * minute);
    // With a delay of its own it is in time, and does not leave out the next time.
    assert_eq!(often.due(nine, 20_000, CatchUp::None, nine + 19_999), Due::NotYet(nine + 20_000));
    assert_eq!(often.next(nine, 20_000, nine + 20_000), Some(nine + minute));
    assert_eq!(often.next(nine, 20_000, nine + 79_999), Some(nine + minute));
    assert_eq!(often.next(nine, 20_000, nine + 80_000), Some(nine + 2 * minute));
    assert_eq!(
        often.next(nine, 0, nine - hour),
        Some(nine + minute),
        "a clock that was set back repeats nothing"
    );
}

#[test]
fn a_delay_is_the_same_for_the_same_time() {
    let mut schedule = Schedule {
        id: 7,
        name: ScheduleName::parse("review").expect("a name"),
        source: ScheduleSource::Person,
        spec: spec("0 9 * * *"),
        paused: None,
        counts_from: 0,
        next_at: None,
        created_at: 0,
    };
    assert_eq!(schedule.jitter_ms(1), 0);
    schedule.spec.jitter_seconds = 600;
    let delays: Vec<u64> = (0..500).map(|day| schedule.jitter_ms(day * 86_400_000)).collect();
    assert_eq!(delays, (0..500).map(|day| schedule.jitter_ms(day * 86_400_000)).collect::<Vec<_>>());
    assert!(delays.iter().all(|delay| *delay <= 600_000));
    assert!(
        delays.iter().any(|delay| *delay < 60_000) && delays.iter().any(|delay| *delay > 540_000),
        "spread out"
    );
}

#[test]
fn parts_that_do_not_go_together_are_refused() {
    let refused = |spec: ScheduleSpec, why: &str| {
        let said = spec.plan().expect_err(why).to_string();
        assert!(said.contains(why), "{said}");
    };
    assert!(spec("0 9 * * *").plan().is_ok());
    refused(ScheduleSpec { zone: "Berlin".into(), ..spec("0 9 * * *") }, "no time zone");
    refused(ScheduleSpec { jitter_seconds: 31, ..spec("* * * * *") }, "half of the time");
    refused(ScheduleSpec { jitter_seconds: 30_000, ..spec("@daily") }, "at most 6 hours");
    refused(ScheduleSpec { gate: Some(" ".into()), ..spec("@daily") }, "a shell line");
    refused(ScheduleSpec { pause_after_failures: Some(0), ..spec("@daily") }, "no failure");
    let prompt = |text: &str, frame: Option<&str>, project: Option<&str>| ScheduleSpec {
        action: ScheduleAction::Prompt {
            text: text.into(),
            frame: frame.and_then(|name| FrameName::parse(name).ok()),
            project: project.and_then(|name| ProjectName::parse(name).ok()),
            model: None,
        },
        ..spec("@daily")
    };
    refused(prompt("x", None, None), "needs a frame");
    refused(prompt("x", Some("a"), Some("b")), "not to both");
    refused(prompt(" ", Some("a"), None), "needs words");
    let workflow = |name: &str, variable: &str| ScheduleSpec {
        action: ScheduleAction::Workflow {
            workflow: name.into(),
            project: None,
            variables: [(variable.to_owned(), "1".to_owned())].into(),
        },
        ..spec("@daily")
    };
    refused(workflow("review", "gate"), "given no `gate`");
    refused(workflow("../x", "a"), "a workflow's name");
    refused(workflow("x", "A b"), "names of a-z");
    assert!(workflow("mine", "issue_label").plan().is_ok());
}

#[test]
fn what_databases_hold_is_read_again() {
    let text = r#"{"expression":"@daily","zone":"UTC","action":{"kind":"review","project":"shop"}}"#;
    let spec: ScheduleSpec = serde_json::from_str(text).expect("as the first release writes it");
    assert_eq!((spec.overlap, spec.catch_up), (Overlap::Forbid, CatchUp::Once));
    let again = serde_json::from_str(&serde_json::to_string(&spec).expect("text")).expect("the same");
    assert_eq!(spec, again);
    for (action, workflow, words) in [
        (r#"{"kind":"frame","wish":"stop","frame":"blog"}"#, "frame", "stop blog"),
        (r#"{"kind":"workflow","workflow":"mine","project":"shop"}"#, "mine", "workflow mine of shop"),
        (r#"{"kind":"prompt","text":"hi","project":"shop"}"#, "prompt", "ask a new frame of shop"),
    ] {
        let action: ScheduleAction = serde_json::from_str(action).expect("an action");
        assert_eq!((action.workflow(), action.words().as_str()), (workflow, words));
    }
}

/// Expressions with what they mean by themselves: no list of ours to forget one in.
fn any_expression() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let field = |low: u32, high: u32| {
        prop_oneof![
            3 => Just("*".to_owned()),
            2 => (low..=high).prop_map(|n| n.to_string()),
            1 => (2..=7_u32).prop_map(|step| format!("*/{step}")),
            1 => (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            1 => proptest::collection::vec(low..=high, 1..4)
                .prop_map(|all| all.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
        ]
    };
    (field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6))
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(60))]

    #[test]
    fn times_only_go_forward_over_ten_years(
        text in any_expression(),
        name in proptest::sample::select(vec![
            "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu",
        ]),
    ) {
        let (expression, zone) = (Expression::parse(&text).expect("an expression"), zone(name));
        let (from, until) = (at("2020-01-01T00:00:00Z"), at("2030-01-01T00:00:00Z"));
        // Of those that fire often, around the changes of the clock; of the others everything.
        let mut last = from;
        let mut count = 0_u32;
        for time in expression.times_after(&zone, from).take_while(|time| *time < until).take(20_000) {
            proptest::prop_assert!(time > last || count == 0, "{text} in {name}: {time} after {last}");
            proptest::prop_assert!(time % 1000 == 0);
            (last, count) = (time, count + 1);
        }
        let changes = zone.zone().following(jiff::Timestamp::from_millisecond(i64::try_from(from).expect("fits")).expect("a time"));
        for change in changes.take_while(|change| change.timestamp().as_millisecond() < i64::try_from(until).expect("fits")) {
            let around = u64::try_from(change.timestamp().as_millisecond()).expect("after 1970");
            let mut last = around - 4 * 3_600_000;
            for time in expression.times_after(&zone, last).take_while(|time| *time < around + 4 * 3_600_000) {
                proptest::prop_assert!(time > last, "{text} in {name} around {around}: {time} after {last}");
                // Wherever somebody asks from, the next time is the same.
                proptest::prop_assert_eq!(expression.next_after(&zone, last), Some(time));
                proptest::prop_assert_eq!(expression.next_after(&zone, time - 1), Some(time));
                last = time;
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[ -~]{0,40}") {
        if let Ok(expression) = Expression::parse(&text) {
            let _ = expression.next_after(&Zone::utc(), 1_700_000_000_000);
            let _ = expression.words();
        }
    }

    #[test]
    fn no_fields_make_it_panic(text in "([0-9*/,#LW?+A-Z-]{1,6} ){4,5}[0-9*/,#LW?+A-Z-]{1,6}") {
        if let Ok(expression) = Expression::parse(&text) {
            let _ = expression.next_after(&Zone::utc(), 1_700_000_000_000);
            let _ = expression.words();
        }
    }
}

/// Instants that another implementation gives, see scripts/cron-instants.
#[test]
fn another_implementation_gives_the_same_instants() {
    let text = include_str!("../../../../tests/fixtures/schedules/instants.json");
    let fixture: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let cases = fixture["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 6 * 2 * 12, "zones, changes, expressions");
    let mut wrong = Vec::new();
    for case in cases {
        let word = |key: &str| case[key].as_str().expect("a text");
        let (expression, zone) = (word("expression"), zone(word("zone")));
        let wanted: Vec<&str> = case["instants"]
            .as_array()
            .expect("instants")
            .iter()
            .map(|at| at.as_str().expect("a text"))
            .collect();
        let found = times(expression, &zone, word("after"), wanted.len());
        if found != wanted {
            wrong.push(format!("{expression} in {zone} after {}: {found:?}, not {wanted:?}", word("after")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
