//! Host ports: two per frame, leased from one range.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A TCP port on 127.0.0.1; never 0.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Port(pub u16);

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a leased port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum PortPurpose {
    /// opencode's API.
    Agent,
    /// Whatever the project serves on 3000.
    Preview,
}

impl PortPurpose {
    /// The word in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The socket in the link folder that this port leads to.
    #[must_use]
    pub fn socket_name(self) -> &'static str {
        match self {
            Self::Agent => "agent.sock",
            Self::Preview => "preview.sock",
        }
    }
}

/// The ports that may be leased, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

/// A text that is not a range of ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a range of ports: write it as 33000-34000, from 1024 up, at least two ports")]
pub struct InvalidPortRange(pub String);

impl PortRange {
    /// All ports of the range, lowest first.
    pub fn iter(self) -> impl Iterator<Item = Port> {
        (self.first..=self.last).map(Port)
    }

    /// Whether that one is among them.
    #[must_use]
    pub fn contains(self, port: Port) -> bool {
        (self.first..=self.last).contains(&port.0)
    }
}

impl FromStr for PortRange {
    type Err = InvalidPortRange;
    fn from_str(text: &str) -> Result<Self, InvalidPortRange> {
        let refuse = || InvalidPortRange(text.to_owned());
        let (first, last) = text.split_once('-').ok_or_else(refuse)?;
        let first: u16 = first.trim().parse().map_err(|_| refuse())?;
        let last: u16 = last.trim().parse().map_err(|_| refuse())?;
        if first >= 1024 && first < last { Ok(Self { first, last }) } else { Err(refuse()) }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_reads_back_as_it_was_written() {
        let range: PortRange = "33000-34000".parse().expect("a good range");
        assert_eq!(range.to_string(), "33000-34000");
        assert_eq!(range.iter().count(), 1001);
        assert!(range.contains(Port(33_000)) && range.contains(Port(34_000)));
        assert!(!range.contains(Port(32_999)) && !range.contains(Port(34_001)));
        for bad in ["", "33000", "34000-33000", "80-90", "33000-33000", "a-b", "33000-99999"] {
            assert!(bad.parse::<PortRange>().is_err(), "{bad}");
        }
    }
}
