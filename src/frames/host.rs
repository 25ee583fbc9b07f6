//! What every frame reads of this machine at its start, whosever it is.

use super::Inner;
use super::git_config::HostGit;
use crate::outbound;

/// What this machine says of itself now.
#[derive(Clone, Debug)]
pub(super) struct HostFacts {
    /// Who commits; none when git did not answer.
    pub(super) git: Option<HostGit>,
    /// The certificates that it trusts.
    pub(super) certificates: Option<String>,
}

impl Inner {
    /// Asks git, and reads the rest.
    pub(super) async fn host_facts(&self) -> HostFacts {
        self.host_facts_with(HostGit::ask(&self.deps.settings.git).await)
    }

    /// The same for whoever has asked git already.
    pub(super) fn host_facts_with(&self, git: Option<HostGit>) -> HostFacts {
        // Behind a proxy that looks into TLS nothing could be fetched without them.
        let certificates = match &self.deps.settings.certificates {
            Some(path) => outbound::certificates_in(path),
            None => outbound::trusted_certificates(),
        };
        HostFacts { git, certificates }
    }
}
