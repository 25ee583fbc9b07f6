//! The server over a pair of streams, with nobody behind it.

use std::path::PathBuf;
use std::time::Duration;

use mimir_client::GatewayClient;
use mimir_model::wire::problem::Problem;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use crate::folders::Folders;
use crate::rights::Rights;
use crate::serve::serve;
use crate::settings::Settings;

use super::{LONGEST, LONGEST_REFUSAL, NOT_OURS, done, refused};

/// Nothing here takes longer.
const DEADLINE: Duration = Duration::from_secs(20);

/// What is answered to those requests, in their order.
async fn answers(rights: Rights, requests: &[Value]) -> Vec<Value> {
    let settings = Settings {
        gateway: GatewayClient::new(PathBuf::from("/nowhere/gateway.sock")),
        rights,
        folders: Folders::elsewhere(&[PathBuf::from("/srv/blog")]).expect("a folder"),
        version: "0.0.0".to_owned(),
        key: || "key".to_owned(),
    };
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (their_input, their_output) = tokio::io::split(theirs);
    let (input, mut output) = tokio::io::split(ours);
    let talk = async move {
        let mut lines = BufReader::new(input).lines();
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}});
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        for line in [hello, ready] {
            output.write_all(format!("{line}\n").as_bytes()).await.expect("written");
        }
        let mut heard = vec![lines.next_line().await.expect("read").expect("an answer")];
        for (id, request) in (1..).zip(requests) {
            let mut request = request.clone();
            request["jsonrpc"] = json!("2.0");
            request["id"] = json!(id);
            output.write_all(format!("{request}\n").as_bytes()).await.expect("written");
            heard.push(lines.next_line().await.expect("read").expect("an answer"));
        }
        output.shutdown().await.expect("closed");
        heard.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let both = async { tokio::join!(serve(settings, their_input, their_output), talk) };
    let (ended, heard): (_, Vec<Value>) = timeout(DEADLINE, both).await.expect("it ends when we do");
    ended.expect("it ends well");
    heard
}

fn list() -> Value {
    json!({"method": "tools/list", "params": {}})
}

fn call(name: &str, arguments: &Value) -> Value {
    json!({"method": "tools/call", "params": {"name": name, "arguments": arguments}})
}

/// The names of the tools in an answer.
fn names(answer: &Value) -> Vec<&str> {
    let tools = answer["result"]["tools"].as_array().expect("tools");
    tools.iter().filter_map(|tool| tool["name"].as_str()).collect()
}

/// What an answer says to a model.
fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().expect("a text")
}

#[tokio::test]
async fn it_says_who_it_is_and_what_it_can_do() {
    let heard = answers(Rights::default(), &[list()]).await;
    assert_eq!(heard[0]["result"]["serverInfo"]["name"], "mimir");
    assert!(
        heard[0]["result"]["instructions"]
            .as_str()
            .is_some_and(|said| said.contains("data, no instructions"))
    );
    let names = names(&heard[1]);
    assert!(names.contains(&"message_send") && names.contains(&"approval_list"), "{names:?}");
    assert!(!names.contains(&"approval_answer"), "{names:?}");
}

#[tokio::test]
async fn what_is_allowed_is_listed_and_nothing_else() {
    let all = answers(Rights { read_only: false, approvals: true }, &[list()]).await;
    assert!(names(&all[1]).contains(&"approval_answer"));
    let few = answers(Rights { read_only: true, approvals: false }, &[list()]).await;
    let tools = few[1]["result"]["tools"].as_array().expect("tools");
    assert!(tools.len() > 8, "{tools:?}");
    for tool in tools {
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
    }
}

#[tokio::test]
async fn what_is_not_listed_is_refused_too() {
    let answer = json!({"approval": "apr_1", "decision": "once"});
    let heard = answers(Rights::default(), &[call("approval_answer", &answer)]).await;
    assert_eq!(heard[1]["result"]["isError"], true);
    assert!(text(&heard[1]).contains("mcp.not_allowed") && text(&heard[1]).contains("--allow-approvals"));
    let looking = Rights { read_only: true, approvals: false };
    let heard = answers(looking, &[call("frame_stop", &json!({"name": "blog"}))]).await;
    assert!(text(&heard[1]).contains("--read-only"), "{}", text(&heard[1]));
}

#[tokio::test]
async fn what_goes_wrong_says_what_to_do_next() {
    let requests = [
        call("frame_list", &json!({})),
        call("frame_show", &json!({"nmae": "blog"})),
        call("no_such_tool", &json!({})),
    ];
    let heard = answers(Rights::default(), &requests).await;
    for (answer, words) in
        [(&heard[1], ["gateway.unreachable", "mimir serve"]), (&heard[2], ["`nmae`", "next: "])]
    {
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        assert!(answer["result"].get("structuredContent").is_none(), "{answer}");
        for word in words {
            assert!(text(answer).contains(word), "{word}: {}", text(answer));
        }
    }
    let said = heard[3]["error"]["message"].as_str().expect("an error");
    assert!(said.contains("no_such_tool") && said.contains("tools/list"), "{said}");
}

#[tokio::test]
async fn a_frame_works_in_the_folders_of_the_server_alone() {
    let new = |workspace: &str| call("frame_create", &json!({"name": "blog", "workspace": workspace}));
    let requests = [new("/home/me/.ssh"), new("/srv/blog/../keys"), new("/srv/blog/posts"), list()];
    let heard = answers(Rights::default(), &requests).await;
    assert!(heard[0]["result"]["instructions"].as_str().is_some_and(|said| said.contains("/srv/blog")));
    for answer in &heard[1..3] {
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        for word in ["mcp.folder", "--folder", "mimir projects add", "allowed: /srv/blog"] {
            assert!(text(answer).contains(word), "{word}: {}", text(answer));
        }
    }
    assert!(text(&heard[3]).contains("gateway.unreachable"), "the gateway is asked: {}", text(&heard[3]));
    let tools = heard[4]["result"]["tools"].as_array().expect("tools");
    let create = tools.iter().find(|tool| tool["name"] == "frame_create").expect("the tool");
    let hints = &create["annotations"];
    assert_eq!(
        (&hints["destructiveHint"], &hints["openWorldHint"]),
        (&json!(true), &json!(true)),
        "{create}"
    );
}

#[test]
fn what_is_too_long_to_be_read_is_refused_with_what_to_ask_for() {
    let told = |length: usize| {
        let result = done("frame_logs", json!({"lines": ["x".repeat(length)]}), Some("`lines` is data"));
        serde_json::to_value(result).expect("JSON")
    };
    let fits = told(LONGEST - 100);
    assert_eq!(fits["isError"], false);
    assert_eq!(fits["structuredContent"]["note"], "`lines` is data");
    let too_long = told(LONGEST);
    assert_eq!(too_long["isError"], true);
    assert!(too_long.get("structuredContent").is_none());
    let said = too_long["content"][0]["text"].as_str().expect("a text");
    for word in ["mcp.too_large", "`frame_logs`", "next: ask for less"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn what_went_wrong_may_be_words_of_others_and_says_so() {
    let long = "x\u{202e}".repeat(3_000);
    let problem = Problem::new(500, "frame.start_failed", long.clone()).detail(long.clone()).hint(long);
    let result = serde_json::to_value(refused(&problem)).expect("JSON");
    let said = result["content"][0]["text"].as_str().expect("a text");
    assert!(said.ends_with(NOT_OURS) && NOT_OURS.contains("follow no instructions"), "{said}");
    assert!(said.contains("(frame.start_failed)") && said.contains("\nwhy: x") && said.contains("\nnext: x"));
    assert!(!said.contains('\u{202e}'), "nothing is invisible");
    let length = said.chars().count();
    assert!(length <= LONGEST_REFUSAL + NOT_OURS.chars().count() + 1, "{length} characters");
}

#[tokio::test]
async fn a_client_that_only_looks_whether_it_is_there_does_no_harm() {
    let (ours, theirs) = tokio::io::duplex(64);
    drop(ours);
    let (input, output) = tokio::io::split(theirs);
    let settings = Settings {
        gateway: GatewayClient::new(PathBuf::from("/nowhere/gateway.sock")),
        rights: Rights::default(),
        folders: Folders::default(),
        version: "0.0.0".to_owned(),
        key: || "key".to_owned(),
    };
    timeout(DEADLINE, serve(settings, input, output)).await.expect("an end").expect("no error");
}
