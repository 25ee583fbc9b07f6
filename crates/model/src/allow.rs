//! Which hosts a frame may reach: names, and named groups of names.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The groups that mimir carries.
const BUILT_IN: &str = include_str!("../../../config/allow-groups.yaml");

/// Ports of a host that is listed without one.
const WEB_PORTS: [u16; 2] = [443, 80];

/// An entry of an allow-list that is neither a group nor a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{entry}` is neither a group ({groups}) nor a host such as example.com, *.example.com or example.com:8443{}",
    meant(nearest)
)]
pub struct InvalidAllow {
    /// As given.
    pub entry: String,
    /// The groups that exist.
    pub groups: String,
    /// The group that was probably meant.
    pub nearest: Option<String>,
}

fn meant(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|group| format!("; did you mean `{group}`?")).unwrap_or_default()
}

/// One host, or all hosts beneath a domain; on the web's ports or on one port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HostRule {
    /// Lower case.
    name: String,
    /// Beneath `name`, not `name` itself.
    beneath: bool,
    port: Option<u16>,
}

/// Named groups of hosts.
#[derive(Clone, Debug, Default)]
pub struct AllowGroups {
    groups: BTreeMap<String, Vec<HostRule>>,
}

/// The hosts that one frame may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    rules: Vec<HostRule>,
    /// Hosts that it may not, whatever the rules say; without a port on all of them.
    denied: Vec<HostRule>,
}

impl AllowGroups {
    /// The groups that mimir carries.
    ///
    /// # Errors
    /// Never, as long as the tests pass.
    pub fn built_in() -> Result<Self, String> {
        let named: BTreeMap<String, Vec<String>> =
            serde_saphyr::from_str(BUILT_IN).map_err(|error| error.to_string())?;
        let mut groups = BTreeMap::new();
        for (name, hosts) in named {
            let rules: Result<Vec<HostRule>, String> = hosts.iter().map(|host| host.parse()).collect();
            groups.insert(name, rules?);
        }
        Ok(Self { groups })
    }

    /// Reads the entries of an allow-list. A word without a dot is a group.
    ///
    /// # Errors
    /// The first entry that is neither.
    pub fn resolve<'a>(&self, entries: impl IntoIterator<Item = &'a str>) -> Result<AllowList, InvalidAllow> {
        let mut rules = Vec::new();
        for entry in entries {
            match self.groups.get(entry) {
                Some(group) => rules.extend(group.iter().cloned()),
                None => rules.push(entry.parse().map_err(|_: String| InvalidAllow {
                    entry: entry.to_owned(),
                    groups: self.groups.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
                    nearest: self.nearest(entry).map(str::to_owned),
                })?),
            }
        }
        Ok(AllowList { rules, denied: Vec::new() })
    }

    /// What the groups are called.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.groups.keys().cloned().collect()
    }

    /// The first host that an entry of an allow-list names, and that can be asked over HTTPS.
    #[must_use]
    pub fn example(&self, entry: &str) -> Option<String> {
        let own: Option<HostRule> = entry.parse().ok();
        let rules = self.groups.get(entry).map_or(own.as_slice(), Vec::as_slice);
        let asked = rules.iter().find(|rule| !rule.beneath && rule.port.is_none_or(|port| port == 443))?;
        Some(asked.name.clone())
    }

    /// The group whose name is a slip or two away.
    fn nearest(&self, entry: &str) -> Option<&str> {
        let distance = |name: &str| strsim::damerau_levenshtein(name, &entry.to_ascii_lowercase());
        let name = self.groups.keys().min_by_key(|name| distance(name))?;
        (distance(name) <= 2).then_some(name)
    }
}

impl FromStr for HostRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(rule) = of_v6(text) {
            return Ok(rule);
        }
        let (host, port) = match text.rsplit_once(':') {
            // `parse` also takes a sign, which no port has.
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
                (host, Some(port.parse().map_err(|_| text.to_owned())?))
            }
            Some(_) => return Err(text.to_owned()),
            None => (text, None),
        };
        let (name, beneath) = match host.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (host, false),
        };
        let label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        // At least one dot: `*.com` would be too much, and `localhost` is not for frames.
        let good = name.contains('.') && text.len() <= 253 && name.split('.').all(label) && port != Some(0);
        if good { Ok(Self { name: name.to_ascii_lowercase(), beneath, port }) } else { Err(text.to_owned()) }
    }
}

/// An IPv6 address: alone, or in brackets and perhaps with a port.
fn of_v6(text: &str) -> Option<HostRule> {
    let (address, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, rest)) => {
            let digits = rest.strip_prefix(':').filter(|port| port.bytes().all(|b| b.is_ascii_digit()))?;
            (address, Some(digits.parse().ok().filter(|port| *port != 0)?))
        }
        None => (text, None),
    };
    let address: Ipv6Addr = address.parse().ok()?;
    Some(HostRule { name: address.to_string(), beneath: false, port })
}

/// What may go through a connection to a listed host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// It is listed for the web: plain HTTP, and TLS that names that host.
    Web,
    /// It is listed with this port, so whatever is spoken there: `git.example.org:22`.
    Any,
}

impl AllowList {
    /// Whether a connection to `host` and `port` is on the list.
    #[must_use]
    pub fn permits(&self, host: &str, port: u16) -> bool {
        self.traffic(host, port).is_some()
    }

    /// The same list without the hosts of another one.
    #[must_use]
    pub fn except(self, denied: Self) -> Self {
        Self { denied: denied.rules, ..self }
    }

    /// Whether somebody took the host off the list.
    #[must_use]
    pub fn denies(&self, host: &str, port: u16) -> bool {
        let host = Target::of(host);
        self.denied.iter().any(|rule| host.is_named_by(rule) && rule.port.is_none_or(|only| only == port))
    }

    /// What may go through a connection to `host` and `port`; none when it is not on the list.
    #[must_use]
    pub fn traffic(&self, host: &str, port: u16) -> Option<Traffic> {
        if self.denies(host, port) {
            return None;
        }
        let host = Target::of(host);
        let matching = self.rules.iter().filter(|rule| {
            host.is_named_by(rule) && rule.port.map_or(WEB_PORTS.contains(&port), |only| only == port)
        });
        let any = |rule: &HostRule| rule.port.is_some_and(|port| !WEB_PORTS.contains(&port));
        matching
            .map(|rule| if any(rule) { Traffic::Any } else { Traffic::Web })
            .reduce(|one, other| if one == Traffic::Any { one } else { other })
    }
}

/// A host that somebody asks for.
struct Target {
    name: String,
    is_address: bool,
}

impl Target {
    fn of(host: &str) -> Self {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = name.parse().ok();
        Self { name: address.map_or(name, |address| address.to_string()), is_address: address.is_some() }
    }

    fn is_named_by(&self, rule: &HostRule) -> bool {
        if !rule.beneath {
            return self.name == rule.name;
        }
        // What stands in front of an address's last numbers is no name beneath a domain.
        let rest = self.name.strip_suffix(&rule.name).filter(|_| !self.is_address);
        rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> AllowList {
        let groups = AllowGroups::built_in().expect("the groups we carry read");
        groups.resolve(entries.iter().copied()).expect("a good list")
    }

    #[test]
    fn a_list_permits_what_is_on_it_and_nothing_that_looks_like_it() {
        let list = list(&["github", "Example.com", "*.corp.test", "git.test:8443"]);
        for (host, port) in [
            ("github.com", 443),
            ("example.com", 80),
            ("EXAMPLE.com.", 443),
            ("a.b.corp.test", 443),
            ("git.test", 8443),
        ] {
            assert!(list.permits(host, port), "{host}:{port}");
        }
        for (host, port) in [
            ("files.example.org", 443),
            ("github.com", 22),
            ("xexample.com", 443),
            ("example.com.evil.test", 443),
            ("www.example.com", 443),
            ("corp.test", 443),
            (".corp.test", 443),
            ("xcorp.test", 443),
            ("git.test", 443),
            ("", 443),
        ] {
            assert!(!list.permits(host, port), "{host}:{port}");
        }
        assert!(!AllowList::default().permits("example.com", 443));
    }

    #[test]
    fn a_host_that_is_listed_with_a_port_of_its_own_may_be_spoken_to_in_any_way() {
        let list =
            list(&["example.com", "git.test:22", "git.test", "tls.test:443", "10.0.0.7", "[fd00::7]:5432"]);
        for (host, port, traffic) in [
            ("example.com", 443, Some(Traffic::Web)),
            ("git.test", 22, Some(Traffic::Any)),
            ("git.test", 443, Some(Traffic::Web)),
            ("tls.test", 443, Some(Traffic::Web)),
            ("tls.test", 80, None),
            ("10.0.0.7", 80, Some(Traffic::Web)),
            ("fd00:0::7", 5432, Some(Traffic::Any)),
            ("fd00::7", 443, None),
        ] {
            assert_eq!(list.traffic(host, port), traffic, "{host}:{port}");
        }
        let beneath = self::list(&["*.0.0.7"]);
        assert!(!beneath.permits("10.0.0.7", 443), "an address is beneath no domain");
    }

    #[test]
    fn what_was_denied_is_off_the_list_on_every_port() {
        let denied = list(&["api.github.com", "*.corp.test", "git.test:22"]);
        let list = list(&["github", "corp.test", "*.corp.test", "git.test", "git.test:22"]).except(denied);
        for (host, port, fine) in [
            ("github.com", 443, true),
            ("api.github.com", 443, false),
            ("api.github.com", 80, false),
            ("corp.test", 443, true),
            ("a.corp.test", 443, false),
            ("git.test", 443, true),
            ("git.test", 22, false),
        ] {
            assert_eq!(list.permits(host, port), fine, "{host}:{port}");
        }
    }

    #[test]
    fn an_entry_stands_for_its_first_host_that_speaks_https() {
        let groups = AllowGroups::built_in().expect("the groups we carry read");
        let example = |entry: &str| groups.example(entry);
        assert_eq!(example("npm").as_deref(), Some("registry.npmjs.org"));
        assert_eq!(example("Example.com").as_deref(), Some("example.com"));
        for none in ["*.corp.test", "git.test:8443", "nothing"] {
            assert_eq!(example(none), None, "{none}");
        }
    }

    #[test]
    fn every_promised_group_is_there() {
        for group in ["npm", "pypi", "crates", "debian", "github", "maven", "rubygems", "packagist"] {
            assert!(!list(&[group]).rules.is_empty(), "{group}");
        }
    }

    #[test]
    fn what_is_neither_group_nor_host_is_named() {
        let groups = AllowGroups::built_in().expect("groups");
        for bad in [
            "nmp",
            "localhost",
            "*.",
            "*",
            "a b.test",
            "x.test:",
            "x.test:99999",
            "x.test:0",
            "https://x.test",
            "",
        ] {
            let error = groups.resolve([bad]).expect_err(bad);
            assert_eq!(error.entry, bad);
            assert!(error.to_string().contains("npm"), "{error}");
        }
    }

    #[test]
    fn a_misspelt_group_is_no_host_and_the_nearest_group_is_named() {
        let groups = AllowGroups::built_in().expect("groups");
        for (slip, meant) in [("npmm", Some("npm")), ("Crates", Some("crates")), ("githbu", Some("github"))] {
            let error = groups.resolve(["npm", slip]).expect_err(slip);
            assert_eq!(error.nearest.as_deref(), meant, "{error}");
        }
        let error = groups.resolve(["somewhere"]).expect_err("no group");
        assert_eq!(error.nearest, None, "{error}");
    }
}
