//! One grammar for each quantity: the command line, the file, the environment, `config set`, a frame's file and the
//! gateway accept the same spellings and refuse the others with the same sentence.
#![cfg(feature = "test-support")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::api::world::World;
use mimir::config::frame_file::FrameFile;
use mimir::config::{Config, FlagValue, LoadOptions, Paths, edit, env};

/// A path and what is posted there.
type Request = (&'static str, Value);

/// Where one quantity comes in.
struct Quantity {
    what: &'static str,
    /// The words before the flag, and the flag.
    flags: &'static [(&'static [&'static str], &'static str)],
    /// Keys of the configuration.
    keys: &'static [&'static str],
    /// A frame file with `$` in the place of the text.
    frame_file: Option<&'static str>,
    /// A request with a number; the texts that are numbers go there.
    request: Option<fn(Value) -> Request>,
    /// Texts, and the sentence with which each is refused.
    texts: &'static [(&'static str, Option<&'static str>)],
}

const MEMORY: &str = "must be an amount of memory such as 4g or 512m";
const CPUS: &str = "must be a number of cores such as 1.5, from 0.1 to 1024";
const PIDS: &str = "must be a whole number from 64 to 4194304";
const TIME: &str = "must be a time such as 90s, 15m or 2h";
const LIFETIME: &str = "must be from 1s to 30d";
const NOTHING: &str = "must be longer than nothing";

/// A frame of no place: refused too, but only after its quantities were looked at.
fn frame(field: &str, value: Value) -> Request {
    ("/v1/frames", json!({"name": "x", "throwaway": field == "ttl_seconds", field: value}))
}

fn quantities() -> Vec<Quantity> {
    vec![
        Quantity {
            what: "memory",
            flags: &[(&["frame", "create", "x"], "--memory")],
            keys: &["frames.limits.memory"],
            frame_file: Some("limits: {memory: '$'}"),
            request: Some(|value| frame("memory_bytes", value)),
            texts: &[
                ("512m", None),
                ("4g", None),
                ("4 g", None),
                ("1.5g", None),
                ("4GiB", None),
                ("2048mb", None),
                ("1073741824", None),
                ("1024t", None),
                ("1", Some("must be at least 512m")),
                ("511m", Some("must be at least 512m")),
                ("1025t", Some(MEMORY)),
                ("1152921504606846976", Some(MEMORY)),
                ("lots", Some(MEMORY)),
                ("-4g", Some(MEMORY)),
                ("4x", Some(MEMORY)),
                ("nan", Some(MEMORY)),
            ],
        },
        Quantity {
            what: "cpus",
            flags: &[(&["frame", "create", "x"], "--cpus")],
            keys: &["frames.limits.cpus"],
            frame_file: Some("limits: {cpus: '$'}"),
            request: Some(|value| frame("cpus", value)),
            texts: &[
                ("2", None),
                ("0.1", None),
                ("1.5", None),
                (" 2 ", None),
                ("1024", None),
                ("0", Some(CPUS)),
                ("0.05", Some(CPUS)),
                ("-1", Some(CPUS)),
                ("1025", Some(CPUS)),
                ("many", Some(CPUS)),
                ("NaN", Some(CPUS)),
                ("inf", Some(CPUS)),
            ],
        },
        Quantity {
            what: "pids",
            flags: &[(&["frame", "create", "x"], "--pids")],
            keys: &["frames.limits.pids"],
            frame_file: Some("limits: {pids: '$'}"),
            request: Some(|value| frame("pids", value)),
            texts: &[
                ("64", None),
                ("4194304", None),
                ("20", Some(PIDS)),
                ("4194305", Some(PIDS)),
                ("few", Some(PIDS)),
            ],
        },
        Quantity {
            what: "lifetime",
            flags: &[(&["frame", "create", "x", "--throwaway"], "--ttl")],
            keys: &["frames.throwaway_ttl"],
            frame_file: Some("{throwaway: on, ttl: '$'}"),
            request: Some(|value| frame("ttl_seconds", value)),
            texts: &[
                ("90s", None),
                ("90sec", None),
                ("1h30m", None),
                ("1h 30m", None),
                ("30d", None),
                ("0s", Some(LIFETIME)),
                ("31d", Some(LIFETIME)),
                ("soon", Some(TIME)),
                ("2x", Some(TIME)),
            ],
        },
        Quantity {
            what: "a time that may be nothing",
            flags: &[
                (&["send", "hi"], "--unattended"),
                (&["send", "hi"], "--timeout"),
                (&["frame", "start", "x"], "--wait"),
                (&["frame", "logs", "x"], "--since"),
                (&["sessions", "search", "x"], "--since"),
            ],
            keys: &["approvals.unattended"],
            frame_file: None,
            request: Some(|value| {
                (
                    "/v1/messages",
                    json!({"frame": "x", "text": "hi", "unattended": {"deadline_seconds": value}}),
                )
            }),
            texts: &[
                ("0s", None),
                ("15min", None),
                ("1h 30m", None),
                ("36600d", None),
                ("36601d", Some(TIME)),
                ("1 h", Some(TIME)),
                ("-1h", Some(TIME)),
            ],
        },
        Quantity {
            what: "a time",
            flags: &[(&["token", "create", "--scope", "read"], "--expires")],
            keys: &["turn.work", "turn.silence", "turn.person", "queue.wait", "frames.idle_stop"],
            frame_file: None,
            request: None,
            texts: &[("12h", None), ("1d 12h", None), ("0s", Some(NOTHING)), ("h", Some(TIME))],
        },
        Quantity {
            what: "money",
            flags: &[],
            keys: &["turn.cost"],
            frame_file: None,
            request: None,
            texts: &[
                ("25", None),
                ("2.50", None),
                ("0.001", Some("must be from 0.01 to 1000000 US dollars")),
                ("1e3", Some("must be an amount of US dollars such as 25 or 2.50")),
            ],
        },
    ]
}

/// From "must" on, without what was given.
fn sentence(refusal: &str) -> Option<String> {
    let from = refusal.find("must ").unwrap_or_else(|| panic!("another sentence: {refusal}"));
    let line = refusal[from..].lines().next().unwrap_or_default();
    Some(line.split(", not `").next().unwrap_or(line).trim_end_matches(", or `never`").to_owned())
}

fn command_line(words: &[&str], flag: &str, text: &str) -> Option<String> {
    let flag = format!("{flag}={text}");
    let words = ["mimir"].iter().chain(words).copied().chain([flag.as_str()]);
    mimir::cli::command().try_get_matches_from(words).err().and_then(|error| sentence(&error.to_string()))
}

/// The same key by the file, the environment, a flag that sets it and `config set`.
fn configuration(key: &str, text: &str) -> [Option<String>; 4] {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("home");
    fs::create_dir(&home).expect("the home");
    let options = LoadOptions {
        paths: Paths::new(&home, folder.path().join("run")),
        env: BTreeMap::from([("HOME".to_owned(), "/home/u".to_owned())]),
        flags: Vec::new(),
    };
    let load = |options: &LoadOptions| Config::load(options).err().and_then(|it| sentence(&it.to_string()));

    let set = edit::set(&options, key, text).err().and_then(|error| sentence(&error.to_string()));
    let yaml = key.split('.').rev().fold(format!("'{text}'"), |below, name| format!("{{{name}: {below}}}"));
    fs::write(options.paths.config_file(), yaml).expect("written");
    let file = load(&options);
    fs::remove_file(options.paths.config_file()).expect("removed");

    let mut by_variable = options.clone();
    by_variable.env.insert(env::variable_of(key), text.to_owned());
    let mut by_flag = options;
    by_flag.flags = vec![FlagValue { flag: "--x".into(), key: key.to_owned(), value: text.to_owned() }];
    [file, load(&by_variable), load(&by_flag), set]
}

/// What the gateway says of a quantity; whatever else it refuses is another matter.
async fn gateway(world: &World, (path, body): (&str, Value)) -> Option<String> {
    let answer = world.post(path, Some(body)).await;
    let problem = answer.json();
    let of = |field: &str| problem[field].as_str().filter(|text| text.contains("must ")).map(str::to_owned);
    of("title").or_else(|| of("detail")).and_then(|text| sentence(&text))
}

#[tokio::test]
async fn what_one_door_accepts_all_accept_and_what_one_refuses_all_refuse_with_the_same_sentence() {
    let world = World::new().await;
    let mut drift = Vec::new();
    for quantity in quantities() {
        for (text, refused) in quantity.texts {
            let expected = refused.map(str::to_owned);
            let mut doors: Vec<(String, Option<String>)> = Vec::new();
            for (words, flag) in quantity.flags {
                doors.push((format!("{} {flag}", words.join(" ")), command_line(words, flag, text)));
            }
            for key in quantity.keys {
                let ways = ["file", "environment", "flag", "config set"];
                let found = ways.iter().zip(configuration(key, text));
                doors.extend(found.map(|(way, said)| (format!("{key} by {way}"), said)));
            }
            if let Some(file) = quantity.frame_file {
                let yaml = file.replace('$', text);
                let read = FrameFile::parse(&yaml, Path::new("f")).err();
                doors.push(("frame file".into(), read.and_then(|error| sentence(&error.to_string()))));
                let body = json!({"name": "x", "config_yaml": yaml});
                doors.push(("frame file in a request".into(), gateway(&world, ("/v1/frames", body)).await));
            }
            let number = serde_json::from_str::<Value>(text).ok().filter(|it| {
                // A negative number is none of JSON's unsigned ones; the body as a whole is refused then.
                it.is_number() && !text.starts_with('-')
            });
            if let (Some(request), Some(number)) = (quantity.request, number) {
                doors.push(("request".into(), gateway(&world, request(number)).await));
            }
            for (door, said) in doors {
                if said != expected {
                    drift.push(format!("{} `{text}` by {door}: {said:?}, not {expected:?}", quantity.what));
                }
            }
        }
    }
    assert!(drift.is_empty(), "{}", drift.join("\n"));
}

#[tokio::test]
async fn spans_in_requests_have_the_limits_of_those_that_are_written() {
    let world = World::new().await;
    let lives = |seconds: u64| frame("ttl_seconds", json!(seconds));
    for (seconds, refused) in [(1, None), (2_592_000, None), (0, Some(LIFETIME)), (2_592_001, Some(LIFETIME))]
    {
        assert_eq!(gateway(&world, lives(seconds)).await.as_deref(), refused, "{seconds}");
    }
    let waits = |seconds: u64| {
        ("/v1/messages", json!({"frame": "x", "text": "hi", "unattended": {"deadline_seconds": seconds}}))
    };
    for (seconds, refused) in [(0, None), (36_600 * 86_400, None), (u64::MAX, Some(TIME))] {
        assert_eq!(gateway(&world, waits(seconds)).await.as_deref(), refused, "{seconds}");
    }
}
