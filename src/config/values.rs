//! What the texts of a configuration mean.

use std::net::IpAddr;
use std::time::Duration;

use crate::model::agent::ModelRef;
use crate::model::allow::AllowGroups;
use crate::model::network::NetworkMode;
use crate::model::port::PortRange;

/// Why a text does not fit, as the end of a sentence that begins with the key.
pub type Invalid = String;

/// A text with something in it.
pub(super) fn text(text: &str) -> Result<String, Invalid> {
    if text.trim().is_empty() { Err("must not be empty".into()) } else { Ok(text.to_owned()) }
}

/// `on` or `off`, and the other words people use.
pub(super) fn switch(text: &str) -> Result<bool, Invalid> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" => Ok(true),
        "off" | "false" | "no" => Ok(false),
        _ => Err(format!("must be on or off, not `{text}`")),
    }
}

/// A whole number between two ends, both included.
pub(super) fn whole(text: &str, least: u32, most: u32) -> Result<u32, Invalid> {
    text.parse::<u32>()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("must be a whole number from {least} to {most}, not `{text}`"))
}

/// A TCP port, or `off`.
pub(super) fn port_or_off(text: &str) -> Result<Option<u16>, Invalid> {
    if matches!(switch(text), Ok(false)) || text == "0" {
        return Ok(None);
    }
    match text.parse::<u16>() {
        Ok(port) => Ok(Some(port)),
        Err(_) => Err(format!("must be a port from 1 to 65535, or off, not `{text}`")),
    }
}

/// An address of this machine to listen on.
pub(super) fn address(text: &str) -> Result<IpAddr, Invalid> {
    text.parse().map_err(|_| format!("must be an IP address such as 127.0.0.1, not `{text}`"))
}

/// Thousandths of a core.
pub(super) fn cpus(text: &str) -> Result<u32, Invalid> {
    let refuse = || format!("must be a number of cores such as 1.5, from 0.1 to 1024, not `{text}`");
    let cores: f64 = text.parse().map_err(|_| refuse())?;
    if !(0.1..=1024.0).contains(&cores) {
        return Err(refuse());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was just checked")]
    let milli = (cores * 1000.0).round() as u32;
    Ok(milli)
}

/// Bytes: a number, or one with k, m, g or t behind it (powers of 1024, `4g` or `512MiB`).
///
/// # Errors
/// When it is something else, or less than 512 MiB, with which the agent is killed over and over.
pub fn memory(text: &str) -> Result<u64, Invalid> {
    let refuse = || format!("must be an amount of memory such as 4g or 512m, not `{text}`");
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &lower[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(refuse()),
    };
    let bytes = digits.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    match bytes {
        Some(bytes) if bytes < 512 << 20 => Err(format!("must be at least 512m, not `{text}`")),
        Some(bytes) if bytes <= 1 << 50 => Ok(bytes),
        _ => Err(refuse()),
    }
}

/// A time such as `90s`, `15m`, `2h`, `1d`, or several of them in a row.
///
/// # Errors
/// When it is something else.
pub fn duration(text: &str) -> Result<Duration, Invalid> {
    let refuse = || format!("must be a time such as 90s, 15m or 2h, not `{text}`");
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(refuse());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let number: u64 = rest[..digits].parse().map_err(|_| refuse())?;
        let seconds = match &rest[digits..digits + letters] {
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(refuse()),
        };
        total = number.checked_mul(seconds).and_then(|it| total.checked_add(it)).ok_or_else(refuse)?;
        rest = rest[digits + letters..].trim_start();
    }
    if total > 3650 * 86_400 { Err(refuse()) } else { Ok(Duration::from_secs(total)) }
}

/// A time that is not none at all.
pub(super) fn some_time(text: &str) -> Result<Duration, Invalid> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than nothing".into()),
        time => Ok(time),
    }
}

/// A time, or `off`.
pub(super) fn time_or_off(text: &str) -> Result<Option<Duration>, Invalid> {
    if matches!(switch(text), Ok(false)) { Ok(None) } else { some_time(text).map(Some) }
}

/// US dollars, as millionths of one.
pub(super) fn dollars(text: &str) -> Result<u64, Invalid> {
    let refuse = || format!("must be an amount of US dollars such as 25 or 2.50, not `{text}`");
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || part.len() > 6 || !digits(whole) || !digits(part) {
        return Err(refuse());
    }
    let whole: u64 = whole.parse().map_err(|_| refuse())?;
    let part: u64 = format!("{part:0<6}").parse().map_err(|_| refuse())?;
    match whole.checked_mul(1_000_000).and_then(|millionths| millionths.checked_add(part)) {
        Some(amount) if (10_000..=1_000_000_000_000).contains(&amount) => Ok(amount),
        _ => Err(format!("must be from 0.01 to 1000000 US dollars, not `{text}`")),
    }
}

/// `provider/model`, or `auto`.
pub(super) fn model_or_auto(text: &str) -> Result<Option<ModelRef>, Invalid> {
    if text == "auto" {
        return Ok(None);
    }
    model(text).map(Some)
}

/// `provider/model`.
pub(super) fn model(text: &str) -> Result<ModelRef, Invalid> {
    text.parse().map_err(|_| {
        format!("must be provider/model, such as anthropic/claude-sonnet-4-20250514, not `{text}`")
    })
}

/// A range of host ports.
pub(super) fn ports(text: &str) -> Result<PortRange, Invalid> {
    text.parse().map_err(|_| {
        format!("must be a range such as 33000-34000, from 1024 up, at least two ports, not `{text}`")
    })
}

/// How much of the network a frame sees.
pub(super) fn network(text: &str) -> Result<NetworkMode, Invalid> {
    text.parse().map_err(|_| format!("must be sealed, allow or open, not `{text}`"))
}

/// A host name, `*.` and a host name, an address, or the name of a group; read just as the broker will read it.
pub(super) fn host(text: &str) -> Result<String, Invalid> {
    let text = text.to_ascii_lowercase();
    AllowGroups::built_in()?
        .resolve([text.as_str()])
        .map_err(|error| format!("must hold groups or hosts: {error}"))?;
    Ok(text)
}

/// A name of this machine as clients write it: `gate.example`, with or without `:8443`.
pub(super) fn host_name(text: &str) -> Result<String, Invalid> {
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
pub(super) fn http_url(text: &str) -> Result<url::Url, Invalid> {
    url::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| format!("must be an address such as http://127.0.0.1:11434/v1, not `{text}`"))
}

/// An absolute path; `~` has been replaced before.
pub(super) fn path(text: &str) -> Result<std::path::PathBuf, Invalid> {
    let path = std::path::PathBuf::from(text);
    if path.is_absolute() && !text.contains('\0') {
        Ok(path)
    } else {
        Err(format!("must be an absolute path or begin with ~/, not `{text}`"))
    }
}

/// A name of an environment variable.
pub(super) fn variable(text: &str) -> Result<String, Invalid> {
    let mut bytes = text.bytes();
    let head = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if head && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        Ok(text.to_owned())
    } else {
        Err(format!("must be a name such as NODE_ENV, not `{text}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_people_write_it() {
        for (text, bytes) in
            [("4g", 4 << 30), ("512m", 512 << 20), ("1GiB", 1 << 30), ("1073741824", 1 << 30)]
        {
            assert_eq!(memory(text), Ok(bytes), "{text}");
        }
        for bad in ["", "4x", "-1g", "1.5g", "511m", "99999999999g", "g"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("2h", 7200), ("1h30m", 5400), ("1d", 86_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "2", "h", "2x", "2h-1m", "99999999999999999999s", "9999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(some_time("0s").is_err());
    }

    #[test]
    fn cores_are_thousandths_inside() {
        assert_eq!(cpus("1.5"), Ok(1500));
        for bad in ["0", "-1", "many", "NaN", "inf", "2000"] {
            assert!(cpus(bad).is_err(), "{bad}");
        }
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
    fn money_is_read_to_the_millionth() {
        for (text, millionths) in [("25", 25_000_000), ("2.5", 2_500_000), ("0.01", 10_000)] {
            assert_eq!(dollars(text), Ok(millionths), "{text}");
        }
        for bad in ["", ".5", "-1", "1e3", "0", "0.0000001", "99999999999999999999", "2,50"] {
            assert!(dollars(bad).is_err(), "{bad}");
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
