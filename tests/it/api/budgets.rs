//! Budgets, prices and the pause over HTTP.

use serde_json::json;

use super::world::World;

#[tokio::test]
async fn a_budget_is_set_shown_and_taken_away_and_each_is_in_the_audit_log() {
    let world = World::new().await;
    world.frame("blog").await;
    let nothing = world.get("/v1/budgets").await.json();
    assert_eq!(
        (&nothing["paused"], &nothing["budgets"], &nothing["days"]),
        (&json!(false), &json!([]), &json!(30))
    );

    let day = json!({"scope": "home", "period": "day", "limit_microusd": 20_000_000});
    let set = world.post("/v1/budgets", Some(day)).await;
    assert_eq!(set.status, 200, "{}", set.text);
    let frame = json!({"scope": "frame", "subject": "blog", "limit_microusd": 5_000_000});
    let set = world.post("/v1/budgets", Some(frame)).await.json();
    let blog = json!({"scope": "frame", "subject": "blog", "period": "total", "limit_microusd": 5_000_000,
        "spent_microusd": 0, "reserved_microusd": 0, "percent": 0});
    assert_eq!(set, json!([blog]));
    let shown = world.get("/v1/budgets?days=7").await.json();
    assert_eq!(shown["budgets"].as_array().map(Vec::len), Some(2), "{shown}");
    let listed = world.get("/v1/frames").await.json();
    assert!(listed[0]["budget"]["limit_microusd"].is_u64(), "{listed}");

    let gone = world.ask("DELETE", "/v1/budgets?scope=frame&subject=blog", None, &[]).await;
    assert_eq!((gone.status, gone.json()), (200, json!([])));
    let again = world.ask("DELETE", "/v1/budgets?scope=frame&subject=blog", None, &[]).await;
    assert_eq!((again.status, again.json()["code"].as_str()), (404, Some("budget.not_set")));
    assert_eq!(world.audited("budget.set").await.len(), 2);
    assert_eq!(world.audited("budget.remove").await.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_a_budget_or_a_price_is_refused_with_the_next_step() {
    let world = World::new().await;
    let price = json!([{"provider": "a/b", "model": "m", "input_microusd": 1, "output_microusd": 1,
        "cache_read_microusd": 1, "cache_write_microusd": 1, "as_of": "2026-11-29"}]);
    let soon = json!([{"provider": "a", "model": "m", "input_microusd": 1, "output_microusd": 1,
        "cache_read_microusd": 1, "cache_write_microusd": 1, "as_of": "soon"}]);
    for (path, body, status, code) in [
        ("/v1/budgets", json!({"scope": "frame", "limit_microusd": 1}), 409, "budget.subject"),
        ("/v1/budgets", json!({"scope": "home", "subject": "x", "limit_microusd": 1}), 409, "budget.subject"),
        (
            "/v1/budgets",
            json!({"scope": "home", "limit_microusd": 1_000_000_000_001_u64}),
            400,
            "budget.limit",
        ),
        (
            "/v1/budgets",
            json!({"scope": "frame", "subject": "nobody", "limit_microusd": 1}),
            404,
            "budget.not_found",
        ),
        (
            "/v1/budgets",
            json!({"scope": "session", "subject": "nobody", "limit_microusd": 1}),
            404,
            "budget.not_found",
        ),
        ("/v1/prices", price, 409, "price.invalid"),
        ("/v1/prices", soon, 409, "price.invalid"),
    ] {
        let answer = world.post(path, Some(body.clone())).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (status, Some(code)),
            "{body}: {}",
            answer.text
        );
        assert!(answer.json()["hint"].is_string(), "{body}: {}", answer.text);
    }
    assert_eq!(world.get("/v1/budgets?days=0").await.status, 400);
}

#[tokio::test]
async fn a_pause_is_told_everywhere_until_it_is_over() {
    let world = World::new().await;
    world.frame("blog").await;
    let paused = world.post("/v1/budgets/pause", None).await.json();
    assert_eq!(paused, json!({"paused": true, "changed": true, "cut_count": 0}));
    assert_eq!(world.post("/v1/budgets/pause", None).await.json()["changed"], json!(false));
    assert_eq!(world.get("/v1/status").await.json()["spending_paused"], json!(true));
    let sent = world.post("/v1/messages", Some(json!({"frame": "blog", "text": "hi"}))).await.json();
    assert!(sent["remarks"].to_string().contains("all spending is paused"), "{sent}");
    let resumed = world.post("/v1/budgets/resume", None).await.json();
    assert_eq!(resumed, json!({"paused": false, "changed": true, "cut_count": 0}));
    assert_eq!(world.get("/v1/budgets").await.json()["paused"], json!(false));
    assert_eq!(world.audited("spending.pause").await.len(), 1);
}

#[tokio::test]
async fn prices_are_listed_with_their_day_and_those_of_people_win() {
    let world = World::new().await;
    let of = |prices: &serde_json::Value, model: &str| {
        let all = prices.as_array().expect("a list");
        all.iter().find(|price| price["model"] == model).cloned().expect("a price")
    };
    let built_in = of(&world.get("/v1/prices").await.json(), "claude-opus-5");
    assert_eq!((&built_in["built_in"], &built_in["input_microusd"]), (&json!(true), &json!(5_000_000)));
    let mut ours = built_in.clone();
    (ours["input_microusd"], ours["as_of"]) = (json!(1), json!("2026-12-01"));
    assert_eq!(world.post("/v1/prices", Some(json!([ours]))).await.status, 200);
    let now = of(&world.get("/v1/prices").await.json(), "claude-opus-5");
    assert_eq!(
        (&now["built_in"], &now["input_microusd"], &now["as_of"]),
        (&json!(false), &json!(1), &json!("2026-12-01"))
    );
}
