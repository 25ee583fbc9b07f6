//! Which hosts a frame may reach: names, and named groups of names.
//!
//! An entry is a group, or `[METHOD+METHOD ]host[:port][/path]`. With methods or a path it is for plain HTTP alone, where
//! they can be read; in TLS nobody sees them, so tunnels need an entry without.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

mod plain;

use plain::PlainOnly;

/// The groups that mimir carries.
const BUILT_IN: &str = include_str!("../../../config/allow-groups.yaml");

/// Ports of a host that is listed without one.
const WEB_PORTS: [u16; 2] = [443, 80];

/// An entry of an allow-list that is neither a group nor a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{entry}` is neither a group ({groups}) nor a host such as example.com, *.example.com, example.com:8443 or, for plain HTTP, `GET+HEAD example.com/path/*`{}",
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
    /// What plain HTTP may ask there; then nothing else may be spoken.
    plain: Option<PlainOnly>,
}

/// Named groups of hosts.
#[derive(Clone, Debug, Default)]
pub struct AllowGroups {
    groups: BTreeMap<String, Vec<HostRule>>,
    about: Vec<AllowGroup>,
}

/// A group, for people.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, Deserialize, utoipa::ToSchema)]
pub struct AllowGroup {
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// Its hosts.
    pub hosts: Vec<String>,
}

/// A group as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    about: String,
    hosts: Vec<String>,
}

/// An entry as it is kept: a host in lower case, methods in upper case, a path as it was given.
#[must_use]
pub fn canonical(entry: &str) -> String {
    let (methods, rest) = match entry.trim().split_once(char::is_whitespace) {
        Some((methods, rest)) => (format!("{} ", methods.to_ascii_uppercase()), rest.trim_start()),
        None => (String::new(), entry.trim()),
    };
    let at = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(at);
    format!("{methods}{}{path}", host.to_ascii_lowercase())
}

/// Whether an entry is for some requests of plain HTTP only.
#[must_use]
pub fn is_narrow(entry: &str) -> bool {
    entry.parse::<HostRule>().is_ok_and(|rule| rule.plain.is_some())
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
        let named: BTreeMap<String, Listed> =
            serde_saphyr::from_str(BUILT_IN).map_err(|error| error.to_string())?;
        let (mut groups, mut described) = (BTreeMap::new(), Vec::new());
        for (name, Listed { about, hosts }) in named {
            let rules: Result<Vec<HostRule>, String> = hosts.iter().map(|host| host.parse()).collect();
            groups.insert(name.clone(), rules?);
            described.push(AllowGroup { name, about, hosts });
        }
        Ok(Self { groups, about: described })
    }

    /// All of them, for people.
    #[must_use]
    pub fn described(&self) -> &[AllowGroup] {
        &self.about
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
        let speaks_tls = |rule: &HostRule| rule.plain.is_none() && rule.port.is_none_or(|port| port == 443);
        let asked = rules.iter().find(|rule| !rule.beneath && speaks_tls(rule))?;
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
        let (text, plain) = plain::split(text)?;
        let rule: Self = of_host(text)?;
        Ok(Self { plain, ..rule })
    }
}

/// A host with or without a port.
fn of_host(text: &str) -> Result<HostRule, String> {
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
    if !good {
        return Err(text.to_owned());
    }
    Ok(HostRule { name: name.to_ascii_lowercase(), beneath, port, plain: None })
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
    Some(HostRule { name: address.to_string(), beneath: false, port, plain: None })
}

/// What the list says to a request of plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlainHttp {
    /// It may pass.
    Fine,
    /// The host is listed, for other requests.
    NotThat,
    /// The host is not listed, or was taken off the list.
    NotListed,
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
        let matching = self.matching(host, port).filter(|rule| rule.plain.is_none());
        let any = |rule: &HostRule| rule.port.is_some_and(|port| !WEB_PORTS.contains(&port));
        matching
            .map(|rule| if any(rule) { Traffic::Any } else { Traffic::Web })
            .reduce(|one, other| if one == Traffic::Any { one } else { other })
    }

    /// What it says to a request of plain HTTP.
    #[must_use]
    pub fn plain(&self, host: &str, port: u16, method: &str, path: &str) -> PlainHttp {
        if self.denies(host, port) {
            return PlainHttp::NotListed;
        }
        let mut listed = PlainHttp::NotListed;
        for rule in self.matching(host, port) {
            match &rule.plain {
                None => return PlainHttp::Fine,
                Some(only) if only.permits(method, path) => return PlainHttp::Fine,
                Some(_) => listed = PlainHttp::NotThat,
            }
        }
        listed
    }

    /// Whether it names that host and port, for whatever.
    #[must_use]
    pub fn names(&self, host: &str, port: u16) -> bool {
        !self.denies(host, port) && self.matching(host, port).next().is_some()
    }

    fn matching(&self, host: &str, port: u16) -> impl Iterator<Item = &HostRule> {
        let host = Target::of(host);
        self.rules.iter().filter(move |rule| {
            // Plain HTTP is on port 80.
            let usual = if rule.plain.is_some() { port == 80 } else { WEB_PORTS.contains(&port) };
            host.is_named_by(rule) && rule.port.map_or(usual, |only| only == port)
        })
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
    fn plain_http_can_be_listed_by_method_and_path_and_nothing_else_then() {
        let list = list(&[
            "GET+HEAD mirror.test/debian/*",
            "mirror.test/Status",
            "post api.test:8080",
            "full.test",
            "get full.test/x",
            "get *.deep.test",
        ]);
        use PlainHttp::{Fine, NotListed, NotThat};
        for (method, host, port, path, said) in [
            ("GET", "mirror.test", 80, "/debian/dists/x", Fine),
            ("HEAD", "MIRROR.test.", 80, "/debian/", Fine),
            ("GET", "mirror.test", 80, "/debian", NotThat),
            ("POST", "mirror.test", 80, "/debian/x", NotThat),
            ("POST", "mirror.test", 80, "/Status", Fine),
            ("POST", "mirror.test", 80, "/status", NotThat),
            ("GET", "mirror.test", 80, "/debian/../etc", NotThat),
            ("GET", "mirror.test", 80, "/debian/%2e%2E/etc", NotThat),
            ("GET", "mirror.test", 80, "/debian/.%2e/etc", NotThat),
            ("GET", "mirror.test", 80, "/debian/..%2fetc", NotThat),
            ("GET", "mirror.test", 80, "/debian/..%5cetc", NotThat),
            ("GET", "mirror.test", 80, "/debian/..;/etc", NotThat),
            ("GET", "mirror.test", 80, "/debian/%252e%252e/etc", NotThat),
            ("GET", "mirror.test", 443, "/debian/x", NotListed),
            ("GET", "mirror.test", 8080, "/debian/x", NotListed),
            ("POST", "api.test", 8080, "/anything", Fine),
            ("post", "api.test", 8080, "/anything", NotThat),
            ("GET", "api.test", 80, "/anything", NotListed),
            ("DELETE", "full.test", 80, "/", Fine),
            ("GET", "a.deep.test", 80, "/", Fine),
            ("GET", "deep.test", 80, "/", NotListed),
        ] {
            assert_eq!(list.plain(host, port, method, path), said, "{method} {host}:{port}{path}");
        }
        for (host, port) in [("mirror.test", 443), ("mirror.test", 80), ("api.test", 8080)] {
            assert_eq!(list.traffic(host, port), None, "no tunnel to {host}:{port}");
        }
        assert_eq!(list.traffic("full.test", 443), Some(Traffic::Web));
        assert!(list.names("api.test", 8080) && !list.names("api.test", 443));
        let denied = self::list(&["mirror.test"]);
        assert_eq!(list.except(denied).plain("mirror.test", 80, "GET", "/debian/x"), NotListed);
    }

    #[test]
    fn an_entry_has_one_spelling() {
        for (given, kept) in [
            (" NPM ", "npm"),
            ("Example.COM:22", "example.com:22"),
            ("get+Head  Example.com/Simple/*", "GET+HEAD example.com/Simple/*"),
            ("Example.com/A", "example.com/A"),
        ] {
            assert_eq!(canonical(given), kept);
            assert_eq!(canonical(kept), kept);
        }
        assert!(
            is_narrow("GET a.test") && is_narrow("a.test/x") && !is_narrow("a.test") && !is_narrow("npm")
        );
    }

    #[test]
    fn every_group_says_what_it_is_for() {
        let groups = AllowGroups::built_in().expect("groups");
        assert_eq!(groups.described().len(), groups.names().len());
        for group in groups.described() {
            assert!(group.about.len() > 10 && !group.about.ends_with('.'), "{group:?}");
            assert!(!group.hosts.is_empty(), "{group:?}");
        }
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
            "x.test/a b",
            "x.test/a?b",
            "x.test/../a",
            "x.test/*/a",
            "FETCH x.test",
            "GET+ x.test",
            "GET npm",
            "GET",
            "npm/x",
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
