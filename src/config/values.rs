//! What the texts of a configuration mean.

use std::net::IpAddr;
use std::time::Duration;

use strum::VariantNames;

use crate::model::agent::ModelRef;
use crate::model::allow::{AllowGroups, canonical};
use crate::model::git::{GitMode, Repository};
use crate::model::look::ThemeName;
use crate::model::network::NetworkMode;
use crate::model::policy::Action;
use crate::model::port::PortRange;
use crate::model::quantity::{Refusal, memory, money, span, whole};
use crate::model::routing::Tier;
use crate::model::webhook::{AuthorRight, Level, SenderKind, Untold};

/// A text with something in it.
pub(super) fn text(text: &str) -> Result<String, Refusal> {
    if text.trim().is_empty() { Err("must not be empty".into()) } else { Ok(text.to_owned()) }
}

/// `on` or `off`, and the other words people use.
pub(super) fn switch(text: &str) -> Result<bool, Refusal> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" => Ok(true),
        "off" | "false" | "no" => Ok(false),
        _ => Err(format!("must be on or off, not `{text}`")),
    }
}

/// A TCP port, or `off`.
pub(super) fn port_or_off(text: &str) -> Result<Option<u16>, Refusal> {
    if matches!(switch(text), Ok(false)) || text == "0" {
        return Ok(None);
    }
    match text.parse::<u16>() {
        Ok(port) => Ok(Some(port)),
        Err(_) => Err(format!("must be a port from 1 to 65535, or off, not `{text}`")),
    }
}

/// An address of this machine to listen on.
pub(super) fn address(text: &str) -> Result<IpAddr, Refusal> {
    text.parse().map_err(|_| format!("must be an IP address such as 127.0.0.1, not `{text}`"))
}

/// A time, or `off`.
pub(super) fn time_or_off(text: &str) -> Result<Option<Duration>, Refusal> {
    if matches!(switch(text), Ok(false)) { Ok(None) } else { span::parse_some(text).map(Some) }
}

/// Bytes, or `off`.
pub(super) fn size_or_off(text: &str) -> Result<Option<u64>, Refusal> {
    if matches!(switch(text), Ok(false)) { Ok(None) } else { memory::parse_any(text).map(Some) }
}

/// How many of something, or as many as there are.
pub(super) fn count_or_off(text: &str) -> Result<Option<u64>, Refusal> {
    if matches!(switch(text), Ok(false)) {
        return Ok(None);
    }
    whole::parse(text, 1, 1_000_000_000).map(|count| Some(count.into()))
}

/// How long a connection may wait for a person: programs give up at some time.
pub(super) fn patience(text: &str) -> Result<Duration, Refusal> {
    let wait = span::parse(text)?;
    if wait > Duration::from_secs(600) {
        return Err(format!("must be at most 10m, not `{text}`"));
    }
    Ok(wait)
}

/// US dollars, or none at all.
pub(super) fn dollars_or_off(text: &str) -> Result<Option<u64>, Refusal> {
    if matches!(switch(text), Ok(false)) { Ok(None) } else { money::parse(text).map(Some) }
}

/// One of these words.
pub(super) fn one_of(text: &str, words: &[&str]) -> Result<String, Refusal> {
    match words.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("must be {}, not `{text}`", words.join(", "))),
    }
}

/// What a rule does.
pub(super) fn action(text: &str) -> Result<Action, Refusal> {
    text.parse().map_err(|_| format!("must be {}, not `{text}`", Action::VARIANTS.join(", ")))
}

/// Why a text is no name of a frame or project.
pub(super) fn no_name(text: &str) -> Refusal {
    format!("must be 1 to 40 of a-z, 0-9 and inner -, not `{text}`")
}

/// `provider/model`, or `auto`.
pub(super) fn model_or_auto(text: &str) -> Result<Option<ModelRef>, Refusal> {
    if text == "auto" {
        return Ok(None);
    }
    model(text).map(Some)
}

/// `provider/model`.
pub(super) fn model(text: &str) -> Result<ModelRef, Refusal> {
    text.parse().map_err(|_| {
        format!("must be provider/model, such as anthropic/claude-sonnet-4-20250514, not `{text}`")
    })
}

/// A range of host ports.
pub(super) fn ports(text: &str) -> Result<PortRange, Refusal> {
    text.parse().map_err(|_| {
        format!("must be a range such as 33000-34000, from 1024 up, at least two ports, not `{text}`")
    })
}

/// How much of the network a frame sees.
pub(super) fn network(text: &str) -> Result<NetworkMode, Refusal> {
    text.parse().map_err(|_| format!("must be sealed, allow or open, not `{text}`"))
}

/// What becomes of a push.
pub(super) fn git_mode(text: &str) -> Result<GitMode, Refusal> {
    text.parse().map_err(|_| format!("must be direct or gate, not `{text}`"))
}

/// What becomes of a push, or `auto`.
pub(super) fn git_mode_or_auto(text: &str) -> Result<Option<GitMode>, Refusal> {
    if text == "auto" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| format!("must be auto, direct or gate, not `{text}`"))
}

/// How the dashboard looks.
pub(super) fn theme(text: &str) -> Result<ThemeName, Refusal> {
    text.parse().map_err(|_| format!("must be terminal, dark, light or mono, not `{text}`"))
}

/// A repository at a forge.
pub(super) fn repository(text: &str) -> Result<Repository, Refusal> {
    Repository::parse(text)
        .map_err(|_| format!("must be HOST/OWNER/NAME or an address of git's, not `{text}`"))
}

/// A host name, `*.` and a host name, an address, or the name of a group; read just as the broker will read it.
pub(super) fn host(text: &str) -> Result<String, Refusal> {
    let text = canonical(text);
    AllowGroups::built_in()?
        .resolve([text.as_str()])
        .map_err(|error| format!("must hold groups or hosts: {error}"))?;
    Ok(text)
}

/// What a provider is called.
pub(super) fn provider_name(text: &str) -> Result<String, Refusal> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    let good = (1..=60).contains(&text.len()) && text.bytes().all(plain);
    good.then(|| text.to_owned()).ok_or_else(|| format!("must hold names of providers, and `{text}` is none"))
}

/// A name of this machine as clients write it: `gate.example`, with or without `:8443`.
pub(super) fn host_name(text: &str) -> Result<String, Refusal> {
    let lower = text.trim().to_ascii_lowercase();
    let (name, port) = match lower.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (lower.as_str(), None),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let good_name = (1..=253).contains(&name.len())
        && name.chars().all(plain)
        && name.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'));
    if good_name && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) {
        Ok(lower)
    } else {
        Err(format!("must hold names such as gate.example or gate.example:8443, not `{text}`"))
    }
}

/// An address of an HTTP service.
pub(super) fn http_url(text: &str) -> Result<url::Url, Refusal> {
    url::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| format!("must be an address such as http://127.0.0.1:11434/v1, not `{text}`"))
}

/// The same, or `off`.
pub(super) fn http_url_or_off(text: &str) -> Result<Option<url::Url>, Refusal> {
    match switch(text) {
        Ok(false) => Ok(None),
        _ => http_url(text).map(Some),
    }
}

/// An absolute path; `~` has been replaced before.
pub(super) fn path(text: &str) -> Result<std::path::PathBuf, Refusal> {
    let path = std::path::PathBuf::from(text);
    if path.is_absolute() && !text.contains('\0') {
        Ok(path)
    } else {
        Err(format!("must be an absolute path or begin with ~/, not `{text}`"))
    }
}

/// An absolute path, or `auto`.
pub(super) fn path_or_auto(text: &str) -> Result<Option<std::path::PathBuf>, Refusal> {
    if text == "auto" { Ok(None) } else { path(text).map(Some) }
}

/// A name of an environment variable.
pub(super) fn variable(text: &str) -> Result<String, Refusal> {
    let mut bytes = text.bytes();
    let head = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if head && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        Ok(text.to_owned())
    } else {
        Err(format!("must be a name such as NODE_ENV, not `{text}`"))
    }
}

/// What a model is good for.
pub(super) fn tier(text: &str) -> Result<Tier, Refusal> {
    text.parse().map_err(|_| format!("must be one of {}, not `{text}`", Tier::VARIANTS.join(", ")))
}

/// A JSON pointer that leads somewhere.
pub(super) fn pointer(text: &str) -> Result<String, Refusal> {
    if text.starts_with('/') && text.len() <= 200 {
        Ok(text.to_owned())
    } else {
        Err(format!("must be a JSON pointer such as /data/title, not `{text}`"))
    }
}

/// A name that stands in an address.
pub(super) fn slug(text: &str) -> Result<String, Refusal> {
    match crate::model::loose::is_slug(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("must be a short name as it stands in addresses, not `{text}`")),
    }
}

/// How a sender of webhooks signs and speaks.
pub(super) fn sender(text: &str) -> Result<SenderKind, Refusal> {
    text.parse().map_err(|_| format!("must be {}, not `{text}`", SenderKind::VARIANTS.join(", ")))
}

/// How bad something is.
pub(super) fn level(text: &str) -> Result<Level, Refusal> {
    text.parse().map_err(|_| format!("must be one of {}, not `{text}`", Level::VARIANTS.join(", ")))
}

/// What a rule takes of what nobody told about.
pub(super) fn untold(text: &str) -> Result<Untold, Refusal> {
    match (text.parse(), switch(text)) {
        (Ok(word), _) => Ok(word),
        // It was a switch: `off` is still one of the words, and `on` took whatever was found, also what an alert rule at
        // the tracker leaves out.
        (_, Ok(false)) => Ok(Untold::Off),
        (_, Ok(true)) => Ok(Untold::All),
        _ => Err(format!("must be one of {}, not `{text}`", Untold::VARIANTS.join(", "))),
    }
}

/// What somebody must be allowed to do.
pub(super) fn author(text: &str) -> Result<AuthorRight, Refusal> {
    text.parse().map_err(|_| format!("must be {}, not `{text}`", AuthorRight::VARIANTS.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rule_takes_of_what_nobody_told_is_still_said_as_a_switch() {
        for (text, taken) in [
            ("missed", Untold::Missed),
            ("all", Untold::All),
            ("off", Untold::Off),
            ("on", Untold::All),
            ("true", Untold::All),
            ("yes", Untold::All),
            ("false", Untold::Off),
            ("no", Untold::Off),
        ] {
            assert_eq!(untold(text), Ok(taken), "{text}");
        }
        assert!(untold("some").is_err());
    }

    #[test]
    fn a_name_of_this_machine_is_a_host_and_perhaps_a_port() {
        for good in ["gate.example", "gate", "GATE.example:8443", "10.0.0.1", "10.0.0.1:443"] {
            assert!(host_name(good).is_ok(), "{good}");
        }
        for bad in
            ["", "*.example", "https://gate.example", "gate:", "gate:0", "gate:99999", "a..b", "-a", "a/b"]
        {
            assert!(host_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_and_groups_are_plain_names() {
        for good in ["npm", "example.org", "*.example.org", "10.0.0.1", "example.org:8080", "NPM"] {
            assert!(host(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "https://example.org",
            "a b",
            "*",
            "example.org:0",
            "a..b",
            "*.*.org",
            "npmm",
            "localhost:8080",
            "localhost",
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
