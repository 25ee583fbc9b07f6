//! The desktop's keyring (Secret Service), asked with a deadline.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use super::key::Keyring;
use crate::model::secret::Secret;

/// A locked keyring asks its owner, who may not be there.
const DEADLINE: Duration = Duration::from_secs(5);

/// The keyring of the session we run in.
pub struct DesktopKeyring {
    account: String,
}

impl DesktopKeyring {
    /// For one home, if there is a session with a message bus at all.
    #[must_use]
    pub fn of_session(home: &Path, bus_address: Option<&str>) -> Option<Self> {
        bus_address.filter(|address| !address.is_empty())?;
        Some(Self { account: format!("database of {}", home.display()) })
    }

    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&keyring::Entry) -> Result<T, keyring::Error> + Send + 'static,
    ) -> Result<Result<T, keyring::Error>, String> {
        let account = self.account.clone();
        let (reply, answer) = mpsc::sync_channel(1);
        // Left behind when it does not answer; it holds nothing that anybody waits for.
        let ask = move || {
            let outcome = keyring::Entry::new("mimir", &account).and_then(|entry| question(&entry));
            let _ = reply.send(outcome);
        };
        let started = std::thread::Builder::new().name("keyring".into()).spawn(ask);
        started.map_err(|error| error.to_string())?;
        answer.recv_timeout(DEADLINE).map_err(|_| format!("no answer within {} s", DEADLINE.as_secs()))
    }
}

impl Keyring for DesktopKeyring {
    fn get(&self) -> Result<Option<Secret>, String> {
        match self.ask(|entry| entry.get_password())? {
            Ok(key) => Ok(Some(Secret::new(key))),
            Err(keyring::Error::NoEntry) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn set(&self, key: &Secret) -> Result<(), String> {
        let key = key.clone();
        self.ask(move |entry| entry.set_password(key.reveal()))?.map_err(|error| error.to_string())
    }

    fn forget(&self) -> Result<(), String> {
        match self.ask(|entry| entry.delete_credential())? {
            Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}
