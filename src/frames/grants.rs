//! What a frame may reach, changed while it runs.

use std::time::Duration;

use serde_json::json;

use super::Frames;
use super::error::FrameError;
use super::provision::{self, invalid};
use crate::model::allow::{AllowGroups, canonical, is_narrow};
use crate::model::frame::{Desired, Frame};
use crate::model::git::BranchRule;
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::network::{LentHost, NetworkMode};
use crate::model::principal::Principal;
use crate::model::quantity::{span, took};
use crate::store::{StoreError, Tx, frames};

/// What somebody grants to a frame, or takes from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Hosts and groups.
    pub hosts: Vec<String>,
    /// Model providers.
    pub providers: Vec<String>,
    /// Branches that it may push; see [`BranchRule`].
    pub branches: Vec<String>,
}

/// For how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// Until it is taken back; kept in the frame's row.
    Always,
    /// For one connection.
    Once,
    /// For a while.
    For(Duration),
}

/// How long a host that may be reached once waits for that.
const ONCE_WITHIN: Duration = Duration::from_secs(10 * 60);

impl Frames {
    /// Lets a frame reach hosts and use providers. Holds at once, also for one that runs.
    ///
    /// # Errors
    /// [`FrameError::NotFound`], [`FrameError::External`], [`FrameError::BeingDestroyed`], [`FrameError::Invalid`].
    pub async fn allow(
        &self,
        principal: &Principal,
        name: &FrameName,
        grant: Grant,
        term: Term,
    ) -> Result<Frame, FrameError> {
        let frame = self.grantable(name, &grant).await?;
        let deps = &self.inner.deps;
        let providers = provision::providers(&[], &grant.providers, &deps.start_files.providers())?;
        if frame.network != NetworkMode::Allow && !grant.hosts.is_empty() {
            let why = format!(
                "frame {name} is {}, and only a frame in mode allow has a list of hosts",
                frame.network
            );
            return Err(invalid("network", why));
        }
        let within = match term {
            Term::Always => None,
            Term::Once => Some(ONCE_WITHIN),
            Term::For(time) => Some(time),
        };
        let Some(within) = within else {
            let grant = Grant { providers, ..grant };
            return self.write(principal, frame, grant, Change::Allow).await;
        };
        if !providers.is_empty() || !grant.branches.is_empty() {
            let why = "providers and branches are granted for good, or not at all".to_owned();
            return Err(invalid("providers", why));
        }
        span::check_lifetime(within.as_secs()).map_err(|why| invalid("for_seconds", why))?;
        let until = deps.clock.now_ms() + u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let once = term == Term::Once;
        for host in &grant.hosts {
            let loan = LentHost { host: host.clone(), once, until };
            let lent = deps.attendant.lend(&frame.id, &loan);
            if !lent.map_err(|error| invalid("hosts", error.to_string()))? {
                let why = format!("frame {name} does not run, and what is allowed for a while is not kept");
                return Err(invalid("term", why));
            }
        }
        let how = if once { "once".to_owned() } else { format!("for {}", took(within.as_secs() * 1000)) };
        let (principal, id) = (principal.clone(), frame.id.clone());
        let text = format!("{}: {how}", grant.hosts.join(", "));
        let written = deps.store.write_as(move |tx| {
            let detail = json!({ "frame": id, "hosts": grant.hosts, "once": once, "until": until });
            tx.audit(&principal, "frame.allow", frame.name.as_str(), &detail)?;
            frames::note(tx, &id, "allowed", &text)?;
            Ok::<_, FrameError>(frames::get(tx, &id)?)
        });
        written.await
    }

    /// Takes hosts and providers from a frame, and all that it is allowed for a while. Connections that are open stay.
    ///
    /// # Errors
    /// As [`Frames::allow`].
    pub async fn deny(
        &self,
        principal: &Principal,
        name: &FrameName,
        grant: Grant,
    ) -> Result<Frame, FrameError> {
        let frame = self.grantable(name, &grant).await?;
        self.inner.deps.attendant.take_back(&frame.id);
        self.write(principal, frame, grant, Change::Deny).await
    }

    /// What a frame may reach for a while.
    #[must_use]
    pub fn lent(&self, frame: &Frame) -> Vec<LentHost> {
        self.inner.deps.attendant.lent(&frame.id)
    }

    /// The frame, when that can be granted to it.
    async fn grantable(&self, name: &FrameName, grant: &Grant) -> Result<Frame, FrameError> {
        let frame = self.get(name).await?;
        if !frame.engine.is_local() {
            return Err(FrameError::External { name: name.to_string(), action: "guarded" });
        }
        if frame.desired == Desired::Removed {
            return Err(FrameError::BeingDestroyed(name.to_string()));
        }
        if grant.hosts.is_empty() && grant.providers.is_empty() && grant.branches.is_empty() {
            return Err(invalid("hosts", "name a host, a group, a provider or a branch".to_owned()));
        }
        for branch in &grant.branches {
            BranchRule::parse(branch).map_err(|why| invalid("branches", why))?;
        }
        let groups = AllowGroups::built_in().map_err(|why| invalid("hosts", why))?;
        let read = groups.resolve(grant.hosts.iter().map(String::as_str));
        read.map_err(|error| invalid("hosts", error.to_string()))?;
        Ok(frame)
    }

    async fn write(
        &self,
        principal: &Principal,
        frame: Frame,
        grant: Grant,
        change: Change,
    ) -> Result<Frame, FrameError> {
        let (principal, id) = (principal.clone(), frame.id);
        let written = self
            .inner
            .deps
            .store
            .write_as(move |tx| Ok::<_, FrameError>(change.write(tx, &principal, &id, grant)?));
        let frame = written.await?;
        self.inner.deps.attendant.rules_changed(&frame);
        Ok(frame)
    }
}

/// What becomes of a frame's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Allow,
    Deny,
}

/// Hosts that may be reached, hosts that may not, and providers.
type Lists = (Vec<String>, Vec<String>, Vec<String>);

/// Puts a host on a frame's list, in the transaction of whoever decided that. What is open hears of it by
/// [`HostNetworking::rules_changed`](super::HostNetworking::rules_changed).
///
/// # Errors
/// Whatever the database says.
pub fn allow_host(
    tx: &mut Tx<'_>,
    principal: &Principal,
    id: &FrameId,
    host: &str,
) -> Result<Frame, StoreError> {
    Change::Allow.write(tx, principal, id, Grant { hosts: vec![host.to_owned()], ..Grant::default() })
}

impl Change {
    /// Changes the row, and says so.
    fn write(
        self,
        tx: &mut Tx<'_>,
        principal: &Principal,
        id: &FrameId,
        grant: Grant,
    ) -> Result<Frame, StoreError> {
        let Grant { hosts, providers, branches } = grant;
        let frame = frames::get(tx, id)?;
        let lists = (frame.allow.clone(), frame.deny.clone(), frame.providers.clone());
        let (allow, deny, granted) = self.of(lists, &hosts, &providers);
        frames::set_grants(tx, id, allow, deny, granted)?;
        let mut detail = json!({ "frame": id, "hosts": hosts, "providers": providers });
        if !branches.is_empty() {
            frames::set_branches(tx, id, self.of_branches(frame.forge.branches, &branches))?;
            detail["branches"] = json!(branches);
        }
        let (verb, code) = match self {
            Self::Allow => ("frame.allow", "allowed"),
            Self::Deny => ("frame.deny", "denied"),
        };
        tx.audit(principal, verb, frame.name.as_str(), &detail)?;
        frames::note(tx, id, code, &[hosts, providers, branches].concat().join(", "))?;
        frames::get(tx, id)
    }

    fn of(self, lists: Lists, hosts: &[String], providers: &[String]) -> Lists {
        let (mut allow, mut deny, mut granted) = lists;
        for host in hosts.iter().map(|entry| canonical(entry)) {
            allow.retain(|known| *known != host);
            deny.retain(|known| *known != host);
            match self {
                Self::Allow => allow.push(host),
                // A host is denied as a whole; what is narrower is only taken off the list.
                Self::Deny if is_narrow(&host) => {}
                Self::Deny => deny.push(host),
            }
        }
        for provider in providers.iter().map(|name| name.trim().to_ascii_lowercase()) {
            granted.retain(|known| *known != provider);
            if self == Self::Allow {
                granted.push(provider);
            }
        }
        (allow, deny, granted)
    }

    /// A branch that may be rewritten and one that may not are one entry: what was said last holds.
    fn of_branches(self, mut branches: Vec<String>, named: &[String]) -> Vec<String> {
        let bare = |text: &str| text.trim_start_matches('+').to_owned();
        for branch in named {
            branches.retain(|known| bare(known) != bare(branch));
            if self == Self::Allow {
                branches.push(branch.clone());
            }
        }
        branches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_on_one_list_at_most_and_once() {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let lists = (texts(&["npm", "a.test"]), texts(&["b.test"]), texts(&["openai"]));
        let hosts = texts(&["B.test", "a.test", "c.test"]);
        let (allow, deny, granted) = Change::Allow.of(lists, &hosts, &texts(&["local", "openai"]));
        assert_eq!((&allow, &deny), (&texts(&["npm", "b.test", "a.test", "c.test"]), &texts(&[])));
        assert_eq!(granted, ["local", "openai"]);
        let (allow, deny, granted) =
            Change::Deny.of((allow, deny, granted), &texts(&["a.test", "npm"]), &texts(&["local"]));
        assert_eq!((allow, deny), (texts(&["b.test", "c.test"]), texts(&["a.test", "npm"])));
        assert_eq!(granted, ["openai"]);
        let narrow = texts(&["get+head A.test/Simple/*"]);
        let lists = (texts(&["GET+HEAD a.test/Simple/*"]), Vec::new(), Vec::new());
        let (allow, deny, _) = Change::Deny.of(lists, &narrow, &[]);
        assert!(allow.is_empty() && deny.is_empty(), "the host itself is not denied by it");
        let branches = Change::Allow.of_branches(texts(&["feature/*"]), &texts(&["+feature/*", "main"]));
        assert_eq!(branches, ["+feature/*", "main"]);
        assert_eq!(Change::Deny.of_branches(branches, &texts(&["feature/*"])), ["main"]);
    }
}
