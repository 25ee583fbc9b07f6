//! What every frame reads of this machine at its start, whosever it is.

use super::Inner;
use crate::outbound;

impl Inner {
    /// The certificates that this machine trusts now: behind a proxy that looks into TLS nothing could be fetched without.
    pub(super) fn certificates(&self) -> Option<String> {
        match &self.deps.settings.certificates {
            Some(path) => outbound::certificates_in(path),
            None => outbound::trusted_certificates(),
        }
    }
}
