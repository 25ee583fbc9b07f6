//! What a library refuses, in our words: what is wrong, where, and what to write instead.
//!
//! Bodies, queries and paths are read by axum and serde; whatever they say about a request passes through here, and
//! what of it nobody foresaw gets a sentence by its status ([`of_status`]).

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;

use super::problem::Reply;
use crate::wire::problem::Problem;

/// Where it is written what a request may hold.
const DOCUMENT: &str = "`/v1/openapi.json` describes what it may hold";

/// A body that is larger than it may be.
pub fn too_large(limit: usize) -> Reply {
    let (most, unit) = if limit < 1 << 20 { (limit >> 10, "KiB") } else { (limit >> 20, "MiB") };
    let title = format!("the request is larger than {most} {unit}");
    Reply(Problem::new(413, "request.too_large", title))
        .hint("put what is long into a file in the workspace, and name the file")
}

/// A body that did not come whole.
pub fn cut_off() -> Reply {
    Reply::bad_request("request.body", "the body did not arrive whole").hint("send the request again")
}

/// A body that is a list where an object belongs, or the other way round.
pub fn of_kind(first: u8) -> Reply {
    let why = if first == b'{' { "it is a list, not an object" } else { "it is an object, not a list" };
    Reply::bad_request("request.invalid", "the body does not fit").detail(why).hint(DOCUMENT)
}

/// A body that is no JSON, or other JSON than is wanted.
pub fn of_body(error: &JsonRejection) -> Reply {
    match error {
        JsonRejection::JsonSyntaxError(_) => {
            let text = error.body_text();
            let place = text.rsplit_once(" at line ").and_then(|(_, rest)| rest.split_once(" column "));
            let reply = Reply::bad_request("request.invalid", "the body is not JSON");
            match place {
                Some((line, column)) => {
                    reply.detail(format!("it cannot be read in line {line}, column {column}"))
                }
                None => reply,
            }
            .hint(DOCUMENT)
        }
        error => {
            let text = error.body_text();
            let text = text
                .strip_prefix("Failed to deserialize the JSON body into the target type: ")
                .unwrap_or(&text);
            let text = text.rsplit_once(" at line ").map_or(text, |(text, _)| text);
            Reply::bad_request("request.invalid", "the body does not fit")
                .detail(sentence(text))
                .hint(DOCUMENT)
        }
    }
}

/// A query that does not fit.
pub fn of_query(error: &QueryRejection) -> Reply {
    let text = error.body_text();
    let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
    Reply::bad_request("request.invalid", "a query parameter does not fit")
        .detail(sentence(text))
        .hint(DOCUMENT)
}

/// A query parameter that there is not.
pub fn unknown_parameter(name: &str, known: &[String]) -> Reply {
    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let detail = match known.as_slice() {
        [] => format!("there is no `{name}` here, nor any other"),
        some => format!("there is no `{name}` here; there is {}", some.join(", ")),
    };
    Reply::bad_request("request.invalid", "a query parameter does not fit").detail(detail).hint(DOCUMENT)
}

/// A refusal that came without a word of ours.
pub fn of_status(status: StatusCode) -> Problem {
    let (code, title) = match status.as_u16() {
        404 => ("route.not_found", "there is nothing of that name"),
        408 => ("request.slow", "the request took too long to arrive"),
        411 | 413 => ("request.too_large", "the request is larger than it may be"),
        414 | 431 => ("request.too_large", "the address or a header of the request is longer than it may be"),
        415 => ("request.media_type", "the body must be JSON: send `content-type: application/json`"),
        426 => ("request.no_websocket", "this is for WebSockets"),
        400..500 => {
            ("request.invalid", "the request cannot be read: its path, a header or its body is malformed")
        }
        _ => ("internal", "something went wrong inside mimir"),
    };
    Problem::new(status.as_u16(), code, title).hint(DOCUMENT)
}

/// What serde says (`limits.cpus: invalid type: string "x", expected f64`), as people say it.
fn sentence(text: &str) -> String {
    let (path, said) = match text.split_once(": ") {
        Some((path, said)) if !path.contains(' ') => (path, said),
        _ => ("", text),
    };
    let field = if path.is_empty() { "the body".to_owned() } else { format!("`{path}`") };
    let quoted = |rest: &str| {
        let name = rest.trim_start_matches('`').split('`').next().unwrap_or_default();
        // Of an unknown key, the path ends with its name already.
        match path.is_empty() || path.ends_with(name) {
            true => format!("`{name}`"),
            false => format!("`{path}.{name}`"),
        }
    };
    let instead = |rest: &str| match rest.split_once("expected ") {
        Some((_, list)) => {
            format!("; there is {}", list.trim_start_matches("one of "))
        }
        None => String::new(),
    };
    if let Some(rest) = said.strip_prefix("missing field ") {
        return format!("{} is missing", quoted(rest));
    }
    if let Some(rest) = said.strip_prefix("unknown field ") {
        return format!("there is no {} here{}", quoted(rest), instead(rest));
    }
    if let Some(rest) = said.strip_prefix("duplicate field ") {
        return format!("{} is there twice", quoted(rest));
    }
    if let Some(rest) = said.strip_prefix("unknown variant ") {
        let given = rest.split('`').nth(1).unwrap_or_default();
        return format!("{field} cannot be `{given}`{}", instead(rest));
    }
    let mistyped = said.strip_prefix("invalid type: ").or_else(|| said.strip_prefix("invalid value: "));
    if let Some((given, wanted)) = mistyped.and_then(|rest| rest.rsplit_once(", expected ")) {
        return format!("{field} must be {}, not {}", kind(wanted), value(given));
    }
    if said.starts_with("invalid length ") && said.contains(", expected struct ") {
        return format!("{field} must be an object with keys, not a list");
    }
    match said {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            format!("{field} must be a whole number")
        }
        "number too large to fit in target type" | "number too small to fit in target type" => {
            format!("{field} is out of range")
        }
        "invalid float literal" | "cannot parse float from empty string" => {
            format!("{field} must be a number")
        }
        "provided string was not `true` or `false`" => format!("{field} must be true or false"),
        // From our own types, which speak for themselves.
        said if path.is_empty() => said.to_owned(),
        said => format!("{field}: {said}"),
    }
}

fn kind(wanted: &str) -> &str {
    match wanted {
        "a string" | "a borrowed string" => "text",
        "a boolean" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        "unit" => "empty",
        _ if wanted == "a map" || wanted.starts_with("struct ") => "an object with keys",
        _ => wanted,
    }
}

fn value(given: &str) -> &str {
    match given {
        "map" => "an object",
        "sequence" => "a list",
        _ => ["integer ", "floating point ", "string ", "boolean "]
            .iter()
            .find_map(|word| given.strip_prefix(word))
            .unwrap_or(given)
            .trim_matches('`'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frames::CreateFrame;
    use crate::wire::messages::SendMessage;
    use axum::Json;
    use axum::extract::Query;
    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    fn said<T: DeserializeOwned>(body: &str) -> String {
        let error = Json::<T>::from_bytes(body.as_bytes()).err().expect("refused");
        let Reply(problem) = of_body(&error);
        let text = format!("{}: {}", problem.title, problem.detail.unwrap_or_default());
        for word in ["invalid", "expected", "deserialize", "struct", "column 0", "u64"] {
            assert!(!text.contains(word), "{body}: {text}");
        }
        text
    }

    #[test]
    fn a_body_is_refused_in_our_words() {
        let frame = said::<CreateFrame>;
        assert_eq!(frame("{"), "the body is not JSON: it cannot be read in line 1, column 1");
        assert_eq!(frame("[]"), "the body does not fit: the body must be an object with keys, not a list");
        assert_eq!(frame("{}"), "the body does not fit: `name` is missing");
        assert!(
            frame(r#"{"nmae": 1}"#)
                .starts_with("the body does not fit: there is no `nmae` here; there is `name`, ")
        );
        assert_eq!(frame(r#"{"name": 1}"#), "the body does not fit: `name` must be text, not 1");
        assert_eq!(
            frame(r#"{"name": "x", "cpus": "two"}"#),
            "the body does not fit: `cpus` must be a number, not \"two\""
        );
        assert_eq!(
            frame(r#"{"name": "x", "pids": -1}"#),
            "the body does not fit: `pids` must be a whole number, 0 or more, not -1"
        );
        assert!(frame(r#"{"name": "x", "network": "closed"}"#).contains("`network`"));
        assert!(
            frame(r#"{"name": "x", "rules": [{"tool": "bash"}]}"#).contains("`rules[0].action` is missing")
        );
        assert_eq!(
            said::<SendMessage>(r#"{"frame": "x", "text": "y", "now": "yes"}"#),
            "the body does not fit: `now` must be true or false, not \"yes\""
        );
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Listing {
        limit: u32,
        #[serde(default)]
        open: bool,
    }

    #[test]
    fn a_query_is_refused_in_our_words() {
        for (query, expected) in [
            ("limit=x", "`limit` must be a whole number"),
            ("limit=99999999999", "`limit` is out of range"),
            ("limit=1&open=maybe", "`open` must be true or false"),
            ("open=true", "`limit` is missing"),
            ("limit=1&limit=2", "`limit` is there twice"),
        ] {
            let uri = format!("/x?{query}").parse().expect("an address");
            let error = Query::<Listing>::try_from_uri(&uri).expect_err("refused");
            assert_eq!(of_query(&error).0.detail.as_deref(), Some(expected), "{query}");
        }
    }
}
