//! Nothing of a secret survives in any form; a text without one passes as it is.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use proptest::prelude::*;

use super::*;

const KEY: &str = "sk-ant-api03-Zq9_x/Yw+Lp";

fn secrets(texts: &[&str]) -> Secrets {
    Secrets::new(&texts.iter().map(|text| Secret::new(*text)).collect::<Vec<_>>())
}

/// What comes out when the text comes in these pieces.
fn pieces(mut redactor: Redactor, text: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.sort_unstable();
    let mut out = Vec::new();
    let mut from = 0;
    for cut in cuts.into_iter().chain([text.len()]) {
        out.extend_from_slice(&redactor.pass(&Bytes::copy_from_slice(&text[from..cut])));
        from = cut;
    }
    out.extend_from_slice(&redactor.end());
    out
}

fn whole(secrets: &Secrets, text: &str) -> String {
    String::from_utf8(pieces(Redactor::new(secrets), text.as_bytes(), &[])).expect("text")
}

/// A secret with each of its letters written in one of many ways.
fn mixed(secret: &str, ways: &[u8]) -> String {
    let mut text = String::new();
    for (byte, way) in secret.bytes().zip(ways.iter().cycle()) {
        let _ = match way % 11 {
            0..=2 => write!(text, "{}", char::from(byte)),
            3 => write!(text, "%{byte:02x}"),
            4 => write!(text, "%{byte:02X}"),
            5 => write!(text, "%25{byte:02x}"),
            6 => write!(text, "\\u00{byte:02x}"),
            7 => write!(text, "\\\\u00{byte:02X}"),
            8 => write!(text, "\\x{byte:02x}"),
            9 => write!(text, "&#{byte};"),
            _ => write!(text, "&#x{byte:x};"),
        };
    }
    text
}

proptest! {
    #[test]
    fn however_letters_are_written_and_bytes_are_cut_it_is_found(
        secret in "[A-Za-z0-9_+/=-]{8,48}",
        (before, after) in ("[ (){}<>~]{0,12}", "[ (){}<>~]{0,12}"),
        ways in prop::collection::vec(any::<u8>(), 1..48),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let text = format!("{before}{}{after}", mixed(&secret, &ways));
        let out = pieces(Redactor::new(&secrets(&[&secret, KEY])), text.as_bytes(), &cuts);
        prop_assert_eq!(String::from_utf8(out).expect("text"), format!("{before}[redacted]{after}"));
    }

    #[test]
    fn pieces_make_no_difference(
        parts in prop::collection::vec(prop_oneof![
            "[ -~\n]{0,12}",
            Just(KEY.to_owned()),
            Just("sk-".to_owned()),
            Just("%2573%6B-ant".to_owned()),
            Just("\\\\\\\\".to_owned()),
            Just(STANDARD.encode(KEY)),
            Just(hex::encode(KEY)),
            (0..KEY.len()).prop_map(|end| KEY[..end].to_owned()),
            (0..KEY.len()).prop_map(|start| KEY[start..].to_owned()),
        ], 0..10),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let (text, secrets) = (parts.concat(), secrets(&[KEY, "Zq9_x/Yw+Lp-other", "api03-Zq"]));
        let at_once = whole(&secrets, &text);
        prop_assert_eq!(&pieces(Redactor::new(&secrets), text.as_bytes(), &cuts), at_once.as_bytes());
        prop_assert!(!at_once.contains(KEY) && !at_once.contains("api03-Zq"), "{}", at_once);
    }

    #[test]
    fn a_text_without_a_secret_is_the_same_and_an_event_of_it_waits_for_nothing(
        text in "[ -~é\n\r\t]{0,400}",
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let event = format!("data: {text}\n\n");
        let mut redactor = Redactor::new(&secrets(&[KEY]));
        let at_once = redactor.pass(&Bytes::from(event.clone()));
        prop_assert_eq!(&at_once[..], event.as_bytes());
        prop_assert_eq!(pieces(Redactor::of_events(&secrets(&[KEY])), event.as_bytes(), &cuts), event.as_bytes());
    }

    #[test]
    fn no_bytes_of_a_stranger_make_it_fall(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let secrets = secrets(&["\u{e9}\\%&;\"u0073/", KEY]);
        let once = pieces(Redactor::of_events(&secrets), &bytes, &[]);
        prop_assert_eq!(once, pieces(Redactor::of_events(&secrets), &bytes, &cuts));
    }

    #[test]
    fn base64_is_found_behind_any_bytes(
        secret in "[!-~]{8,60}",
        before in prop::collection::vec(any::<u8>(), 0..7),
        after in prop::collection::vec(any::<u8>(), 0..5),
        ways in prop::collection::vec(any::<u8>(), 1..9),
    ) {
        let bytes = [&before[..], secret.as_bytes(), &after[..]].concat();
        let (first, last) = ((before.len() * 8).div_ceil(6), (before.len() + secret.len()) * 8 / 6);
        for code in [STANDARD.encode(&bytes), URL_SAFE.encode(&bytes)] {
            let core = &code[first..last];
            let text = format!("<{}{}{}>", &code[..first], mixed(core, &ways), &code[last..]);
            let out = whole(&secrets(&[&secret]), &text);
            prop_assert!(out.contains(REDACTED), "{} of {}", out, text);
            prop_assert!(out.len() <= REDACTED.len() + first + (code.len() - last) + 2, "{} of {}", out, text);
        }
    }
}

#[test]
fn the_other_forms_are_found_too() {
    let secrets = secrets(&[KEY]);
    let spaced = |text: &str, by: &str| {
        text.as_bytes().chunks(2).map(String::from_utf8_lossy).collect::<Vec<_>>().join(by)
    };
    let code = hex::encode(KEY);
    let bytes: Vec<String> = KEY.bytes().map(|byte| byte.to_string()).collect();
    let wide: String = KEY.chars().flat_map(|letter| [letter, '\0']).collect();
    let wrapped = STANDARD_NO_PAD.encode(KEY);
    for form in [
        KEY.chars().rev().collect(),
        code.clone(),
        code.to_uppercase(),
        spaced(&code, " "),
        spaced(&code, ":"),
        bytes.join(","),
        bytes.join(", "),
        wide.trim_end_matches('\0').to_owned(),
        serde_json::to_string(&wide).expect("JSON").trim_matches('"').trim_end_matches("\\u0000").to_owned(),
        format!("{}\r\n{}", &KEY[..12], &KEY[12..]),
        format!("{}\\n{}", &wrapped[..16], &wrapped[16..wrapped.len() - wrapped.len() % 4]),
        KEY.replace('/', "\\/"),
        KEY.replace('-', "\\-"),
        KEY.replace('s', "%u0073"),
    ] {
        let out = whole(&secrets, &format!("<{form}>"));
        assert_eq!(out, "<[redacted]>", "{form}");
    }
}

#[test]
fn what_was_cut_off_is_found_at_the_end_and_most_of_a_secret_anywhere() {
    let secrets = secrets(&[KEY]);
    assert_eq!(whole(&secrets, &format!("key: {}", &KEY[..9])), "key: [redacted]");
    assert_eq!(whole(&secrets, &format!("\"{}\" is wrong", &KEY[..20])), "\"[redacted]\" is wrong");
    assert_eq!(whole(&secrets, "sk-ant-... is wrong"), "sk-ant-... is wrong");
    assert_eq!(whole(&secrets, "sk-ant"), "sk-ant");
}

#[test]
fn short_texts_are_no_secrets_and_all_keys_are_known() {
    assert_eq!(whole(&secrets(&["none", "x", ""]), "there is none of x"), "there is none of x");
    let two = secrets(&[KEY, "another-key-of-ours"]);
    assert_eq!(two.out_of(&format!("{KEY}/another-key-of-ours")), "[redacted]/[redacted]");
}

#[test]
fn a_beginning_is_held_and_let_go_as_soon_as_it_is_none() {
    let mut redactor = Redactor::new(&secrets(&[KEY]));
    let mut pass = |text: &str| redactor.pass(&Bytes::copy_from_slice(text.as_bytes()));
    assert_eq!(&pass("say sk-an")[..], b"say ");
    assert_eq!(&pass("yth")[..], b"sk-anyth");
    assert_eq!(&pass("ing sk-ant-api03-")[..], b"ing ");
    assert_eq!(&pass("Zq9_x/Yw+Lp!")[..], b"[redacted]!");
    assert_eq!(redactor.hits(), 1);
}

fn delta(text: &str) -> String {
    let event = serde_json::json!({"id": "c-1", "choices": [{"index": 0, "delta": {"content": text}}]});
    format!("data: {event}\n\n")
}

fn said(stream: &[u8]) -> String {
    let text = String::from_utf8(stream.to_vec()).expect("text");
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let json = events.filter_map(|event| serde_json::from_str::<serde_json::Value>(event).ok());
    json.filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_key_that_is_spread_over_events_is_found() {
    for size in [1, 2, 3, 5, 11] {
        for form in [KEY.to_owned(), STANDARD.encode(KEY), mixed(KEY, &[3, 0, 6])] {
            let text = format!("it is {form}, you see");
            let letters: Vec<char> = text.chars().collect();
            let stream: String =
                letters.chunks(size).map(|piece| delta(&piece.iter().collect::<String>())).collect();
            let stream = format!("{stream}data: [DONE]\n\n");
            let out = pieces(Redactor::of_events(&secrets(&[KEY])), stream.as_bytes(), &[7, 100, 333]);
            let heard = said(&out);
            let tail = heard.strip_prefix("it is ").expect(&heard);
            assert!(tail.contains(REDACTED) && tail.ends_with(", you see"), "{size}: {heard}");
            // A few letters may have gone before there was a reason to wait.
            assert!(tail.find(REDACTED).is_some_and(|at| at <= 16), "{size}: {heard}");
            assert!(!heard.contains(&form[form.len() - 9..]), "{size}: {heard}");
            assert!(out.ends_with(b"data: [DONE]\n\n"));
        }
    }
}

#[test]
fn events_wait_only_while_a_secret_may_have_begun_and_are_then_the_same() {
    let mut redactor = Redactor::of_events(&secrets(&[KEY]));
    let mut pass = |text: &str| {
        String::from_utf8(redactor.pass(&Bytes::copy_from_slice(text.as_bytes())).to_vec()).expect("text")
    };
    assert_eq!(pass(&delta("words")), delta("words"));
    assert_eq!(pass(&delta("ask")), delta("ask"), "three letters are no reason");
    assert_eq!(pass(&delta("-a")), "", "five are one");
    assert_eq!(pass(": a comment\n\n"), "", "and all that comes behind waits, to stay in its order");
    assert_eq!(pass(&delta(" word")), format!("{}: a comment\n\n{}", delta("-a"), delta(" word")));
    let tool = |index: u32, text: &str| {
        let call = serde_json::json!({"index": index, "function": {"arguments": text}});
        format!("data: {}\n\n", serde_json::json!({"choices": [{"delta": {"tool_calls": [call]}}]}))
    };
    let (one, two) = KEY.split_at(12);
    let mixed = [tool(0, one), tool(1, "ls"), tool(0, two), tool(1, " -l"), tool(0, "!")].concat();
    let out = pass(&mixed);
    assert!(!out.contains(two) && !out.contains(one) && out.contains(REDACTED), "{out}");
    assert!(out.contains("ls") && out.contains(" -l"), "{out}");
}

#[test]
fn what_waits_has_a_limit_and_counts_as_a_secret_then() {
    let mut redactor = Redactor::of_events(&secrets(&[KEY]));
    let first = redactor.pass(&Bytes::from(delta(&KEY[..14])));
    assert!(first.is_empty());
    let mut out = Vec::new();
    for _ in 0..600 {
        out.extend_from_slice(&redactor.pass(&Bytes::from(": nothing\n\n")));
    }
    assert!(!out.is_empty(), "an endless wait");
    assert_eq!(said(&out), REDACTED);
}
