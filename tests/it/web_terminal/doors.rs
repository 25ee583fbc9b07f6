//! Who gets a terminal in a browser: tickets, origins, scopes, shared links, and when it is over.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::client::{Came, WebTerminal};
use super::world::Terminals;
use crate::access::token;
use crate::api::world::TOKEN;

#[tokio::test]
async fn a_ticket_opens_a_terminal_in_which_one_types() {
    let all = Terminals::new().await;
    let mut terminal = WebTerminal::open(all.world.tcp, &all.ticket().await).await;
    let welcome = terminal.until_said("authenticated").await;
    assert_eq!((&welcome["frame"], &welcome["read_only"]), (&json!("blog"), &json!(false)));
    terminal.say(json!({"type": "attach", "columns": 80, "rows": 24, "window": "shell"})).await;
    let attached = terminal.until_said("attached").await;
    assert_eq!((&attached["columns"], &attached["rows"]), (&json!(80), &json!(24)));
    terminal.until_shown("size 80x24").await;
    assert!(
        all.seen.started.lock().iter().any(|word| word.ends_with(":=shell")),
        "the window that was asked for"
    );
    assert!(terminal.type_text("grüße\n").await);
    let taken = terminal.until_said("input_ack").await;
    assert_eq!(taken["bytes"], json!("grüße\n".len()));
    terminal.until_shown("grüße").await;

    terminal.say(json!({"type": "resize", "columns": 120, "rows": 40})).await;
    terminal.say(json!({"type": "resize", "columns": 0, "rows": 65535})).await;
    all.until("both sizes", |seen| *seen.sizes.lock() == [(120, 40), (1, 2000)]).await;

    // Closed, and opened again over the same connection.
    terminal.say(json!({"type": "detach"})).await;
    assert_eq!(terminal.until_said("detached").await["code"], Value::Null);
    all.until_open(0).await;
    terminal.say(json!({"type": "attach", "columns": 60, "rows": 20})).await;
    terminal.until_shown("size 60x20").await;
    assert!(terminal.type_text("exit\r").await);
    assert_eq!(terminal.until_said("detached").await["code"], json!(0), "it ended by itself");
    drop(terminal);
    assert!(all.world.end().await, "it ends in time");
}

#[tokio::test]
async fn a_ticket_that_is_wrong_used_or_over_opens_nothing() {
    let all = Terminals::new().await;
    let used = all.ticket().await;
    let mut first = WebTerminal::open(all.world.tcp, &used).await;
    first.until_said("authenticated").await;
    let over = all.ticket().await;
    all.clock.advance_ms(30_000);
    let (zero, no_link) = ("0".repeat(64), format!("mimshr_{}", "0".repeat(64)));
    for (what, ticket) in [
        ("used", used.as_str()),
        ("over", over.as_str()),
        ("wrong", zero.as_str()),
        ("a token", TOKEN),
        ("empty", ""),
        ("of no link", no_link.as_str()),
    ] {
        let told = WebTerminal::open(all.world.tcp, ticket).await.until_closed().await;
        assert_eq!(told.as_deref(), Some("terminal.ticket"), "{what}");
    }
    let refused = all.world.audited("auth.refused").await;
    assert!(refused.iter().any(|row| row.contains("ticket that opens nothing")), "{refused:?}");
    // Whoever is in stays in.
    first.say(json!({"type": "attach", "columns": 80, "rows": 24})).await;
    first.until_shown("size 80x24").await;
}

#[tokio::test]
async fn what_comes_before_the_ticket_or_out_of_turn_ends_the_connection() {
    let all = Terminals::new().await;
    let origin = format!("http://{}", all.world.tcp);
    for message in [
        json!({"type": "attach", "columns": 80, "rows": 24}),
        json!({"type": "exec", "argv": ["sh"]}),
        json!("auth"),
    ] {
        let connected = WebTerminal::connect(all.world.tcp, &[("origin", origin.as_str())]).await;
        let mut terminal = connected.expect("connected");
        terminal.say(message.clone()).await;
        assert_eq!(terminal.until_closed().await.as_deref(), Some("request.invalid"), "{message}");
    }
    let mut terminal = all.attached().await;
    terminal.say(json!({"type": "attach", "columns": 80, "rows": 24})).await;
    assert_eq!(terminal.until_closed().await.as_deref(), Some("request.invalid"));
    all.until_open(0).await;
}

/// Nobody has shown a ticket yet, and the size alone would make room for what never comes.
#[tokio::test]
async fn a_frame_that_is_larger_than_any_message_is_refused_by_its_size() {
    let all = Terminals::new().await;
    let origin = format!("http://{}", all.world.tcp);
    let connected = WebTerminal::connect(all.world.tcp, &[("origin", origin.as_str())]).await;
    let mut terminal = connected.expect("connected");
    // Binary and masked, of a mebibyte, and nothing of it.
    terminal.send_raw(&[0x82, 0x80 | 127, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4]).await;
    assert_eq!(terminal.until_closed().await, None, "it waited for the rest until its time was over");
}

#[tokio::test]
async fn a_page_of_another_origin_gets_no_connection() {
    let all = Terminals::new().await;
    let ours = format!("http://{}", all.world.tcp);
    let bearer = format!("Bearer {TOKEN}");
    let connect = |headers: Vec<(&'static str, String)>| {
        let address = all.world.tcp;
        async move {
            let headers: Vec<(&'static str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            WebTerminal::connect(address, &headers).await.map(|_| ())
        }
    };
    let origin = |origin: &str| vec![("origin", origin.to_owned())];
    for foreign in ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"] {
        assert_eq!(connect(origin(foreign)).await, Err(403), "{foreign}");
        let with_token = [origin(foreign), vec![("authorization", bearer.clone())]].concat();
        assert_eq!(connect(with_token).await, Err(403), "{foreign} with a token");
    }
    let rebound = [origin(&ours), vec![("host", "evil.example:8080".to_owned())]].concat();
    assert_eq!(connect(rebound).await, Err(421));
    assert_eq!(connect(Vec::new()).await, Err(403), "a browser says where it comes from");
    let elsewhere = [origin(&ours), vec![("sec-fetch-site", "same-site".to_owned())]].concat();
    assert_eq!(connect(elsewhere).await, Err(403));
    assert_eq!(connect(origin(&ours)).await, Ok(()));
    // What is no browser has a token, and still needs a ticket.
    assert_eq!(connect(vec![("authorization", bearer)]).await, Ok(()));
}

#[tokio::test]
async fn a_ticket_needs_the_scope_of_terminals_and_the_frame() {
    let all = Terminals::new().await;
    all.world.frame("api").await;
    let lacking = token(&all.world, "read send approve frames passthrough metrics admin", None).await;
    for (method, path) in [
        ("POST", "/v1/frames/blog/terminal/tickets"),
        ("POST", "/v1/frames/blog/terminal/shares"),
        ("GET", "/v1/frames/blog/terminal/shares"),
    ] {
        let refused = all.world.ask_with(method, path, &lacking, "{}").await;
        assert_eq!((refused.status, refused.code()), (403, "auth.scope"), "{method} {path}");
    }
    let held = token(&all.world, "terminal", Some(&["api"])).await;
    let refused = all.world.ask_with("POST", "/v1/frames/blog/terminal/tickets", &held, "{}").await;
    assert_eq!((refused.status, refused.code()), (403, "auth.frame"));
    // A frame that does not run has no terminal, and that is said over the connection.
    let made = all.world.ask_with("POST", "/v1/frames/api/terminal/tickets", &held, "{}").await;
    let mut terminal =
        WebTerminal::open(all.world.tcp, made.json()["ticket"].as_str().expect("a ticket")).await;
    terminal.until_said("authenticated").await;
    terminal.say(json!({"type": "attach", "columns": 80, "rows": 24})).await;
    assert_eq!(terminal.until_problem().await, "frame.wrong_state");
}

#[tokio::test]
async fn a_terminal_ends_with_the_token_it_was_opened_by() {
    let all = Terminals::new().await;
    let secret = token(&all.world, "terminal", None).await;
    let ticket = all.ticket_of(&secret, json!({})).await;
    let unused = all.ticket_of(&secret, json!({})).await;
    let mut terminal = WebTerminal::attached(all.world.tcp, &ticket, None).await;
    terminal.until_shown("size 80x24").await;
    let name = all.world.get("/v1/tokens").await.json()[0]["name"].as_str().expect("a name").to_owned();
    let revoked = all.world.ask("DELETE", &format!("/v1/tokens/{name}"), None, &[]).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    assert_eq!(terminal.until_closed().await.as_deref(), Some("terminal.over"));
    all.until_open(0).await;
    let told = WebTerminal::open(all.world.tcp, &unused).await.until_closed().await;
    assert_eq!(told.as_deref(), Some("terminal.ticket"), "and what it had asked for");
}

#[tokio::test]
async fn a_shared_link_shows_a_terminal_and_passes_nothing_on() {
    let all = Terminals::new().await;
    let path = "/v1/frames/blog/terminal/shares";
    let share = |body: Value| all.world.post(path, Some(body));
    let made = share(json!({"window": "agent", "lasts_seconds": 60})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    let secret = made["link"].as_str().expect("a link").strip_prefix("http://127.0.0.1:8080/#watch=");
    let secret = secret.expect("this machine's").to_owned();
    let listed = all.world.get(path).await;
    assert_eq!(listed.json()[0], made["share"]);
    assert!(!listed.text.contains(&secret) && !listed.text.contains("mimshr_"), "{}", listed.text);
    assert_eq!(all.world.audited("terminal.share").await.len(), 1);

    let mut looker = WebTerminal::open(all.world.tcp, &secret).await;
    let welcome = looker.until_said("authenticated").await;
    assert_eq!((&welcome["read_only"], &welcome["expires_at"]), (&json!(true), &made["share"]["expires_at"]));
    // Whatever else it asks for, it gets what was shared.
    looker.say(json!({"type": "attach", "columns": 80, "rows": 24, "window": "shell"})).await;
    looker.until_shown("size 80x24").await;
    let started = all.seen.started.lock().join(" ");
    assert!(started.contains("read-only") && started.contains(":=agent"), "{started}");
    assert!(looker.type_text("rm -rf /\r").await);
    assert!(looker.type_text("again\r").await);
    looker.say(json!({"type": "resize", "columns": 90, "rows": 30})).await;
    all.until("what was sent after it", |seen| *seen.sizes.lock() == [(90, 30)]).await;
    assert_eq!(*all.seen.typed.lock(), "", "nothing is passed on");
    // Where nobody else looks, the frame draws for this one: it gets no size in which nothing can be drawn.
    looker.say(json!({"type": "resize", "columns": 0, "rows": 65535})).await;
    all.until("a size to draw in", |seen| *seen.sizes.lock() == [(90, 30), (20, 200)]).await;

    // Another one, which is over by itself; this one is taken back.
    let other = share(json!({})).await.json();
    let other = other["link"].as_str().and_then(|link| link.split_once('=')).expect("a link").1.to_owned();
    let mut second = WebTerminal::attached(all.world.tcp, &other, None).await;
    let id = made["share"]["id"].as_str().expect("an id");
    let taken = all.world.ask("DELETE", &format!("{path}/{id}"), None, &[]).await;
    assert_eq!(taken.status, 200, "{}", taken.text);
    assert_eq!(looker.until_closed().await.as_deref(), Some("terminal.over"));
    let again = all.world.ask("DELETE", &format!("{path}/{id}"), None, &[]).await;
    assert_eq!((again.status, again.code()), (404, "terminal.share_not_found"));
    all.until_open(1).await;
    all.clock.advance_ms(60 * 60 * 1000);
    assert_eq!(second.until_closed().await.as_deref(), Some("terminal.over"));
    assert_eq!(all.world.get(path).await.json(), json!([]));
    let told = WebTerminal::open(all.world.tcp, &other).await.until_closed().await;
    assert_eq!(told.as_deref(), Some("terminal.ticket"));
}

#[tokio::test]
async fn only_so_many_look_through_one_link_at_once() {
    let all = Terminals::new().await;
    let made = all.world.post("/v1/frames/blog/terminal/shares", Some(json!({}))).await.json();
    let secret = made["link"].as_str().and_then(|link| link.split_once('=')).expect("a link").1.to_owned();
    let mut lookers = Vec::new();
    for _ in 0..32 {
        let mut looker = WebTerminal::open(all.world.tcp, &secret).await;
        looker.until_said("authenticated").await;
        lookers.push(looker);
    }
    let told = WebTerminal::open(all.world.tcp, &secret).await.until_closed().await;
    assert_eq!(told.as_deref(), Some("terminal.crowded"));
    let refused = all.world.audited("auth.refused").await;
    assert!(refused.is_empty(), "the secret is right: {refused:?}");
    // The owner's own terminal is another matter.
    drop(all.attached().await);
    lookers.pop();
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let mut next = WebTerminal::open(all.world.tcp, &secret).await;
        match next.next().await {
            Came::Said(said) if said["type"] == "authenticated" => break,
            came => assert!(tokio::time::Instant::now() < end, "no place became free: {came:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn links_of_frames_that_are_gone_take_no_room() {
    let all = Terminals::new().await;
    let path = "/v1/frames/blog/terminal/shares";
    let mut secrets = Vec::new();
    for _ in 0..64 {
        let made = all.world.post(path, Some(json!({}))).await;
        assert_eq!(made.status, 201, "{}", made.text);
        secrets.push(made.json()["link"].as_str().expect("a link").to_owned());
    }
    let full = all.world.post(path, Some(json!({}))).await;
    assert_eq!((full.status, full.code()), (409, "terminal.shares"));
    let secret = secrets[0].split_once('=').expect("a link").1;
    let mut looker = WebTerminal::open(all.world.tcp, secret).await;
    looker.until_said("authenticated").await;
    all.world.frame("api").await;
    let gone = all.world.ask("DELETE", "/v1/frames/blog?wait=8", None, &[]).await;
    assert_eq!(gone.status, 200, "{}", gone.text);
    let made = all.world.post("/v1/frames/api/terminal/shares", Some(json!({}))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(looker.until_closed().await.as_deref(), Some("terminal.over"));
}

#[tokio::test]
async fn the_same_filter_stands_before_a_browser() {
    let all = Terminals::new().await;
    let mut terminal = all.attached().await;
    assert!(terminal.type_text("hostile\r").await);
    terminal.until_shown("\u{1b}[31mdrawn").await;
    let text = terminal.text();
    assert!(!text.contains("\u{1b}]") && !text.contains("T1dORUQ") && !text.contains("[6n"), "{text:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_no_terminal_and_the_next_one_draws_anew() {
    let all = Terminals::new().await;
    let terminal = all.attached().await;
    all.until_open(1).await;
    drop(terminal);
    all.until_open(0).await;
    let again = all.attached().await;
    assert_eq!(all.seen.open.load(Ordering::SeqCst), 1);
    drop(again);
}

#[tokio::test]
async fn whoever_looks_is_told_when_the_frame_stops_and_when_the_gateway_does() {
    let all = Terminals::new().await;
    let mut terminal = all.attached().await;
    let stopped = all.world.post("/v1/frames/blog/stop?wait=8", None).await;
    assert_eq!(stopped.status, 200, "{}", stopped.text);
    let event = terminal.until_said("frame_event").await;
    assert_eq!((&event["event"]["kind"], &event["event"]["frame"]), (&json!("frame.moved"), &json!("blog")));
    let closed = async { terminal.until_closed().await };
    let (told, ended) = tokio::join!(closed, all.world.end());
    assert_eq!(told.as_deref(), Some("gateway.stopping"));
    assert!(ended, "it ends in time");
}
