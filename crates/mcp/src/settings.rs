//! With what the server works.

use mimir_client::GatewayClient;

use crate::folders::Folders;
use crate::rights::Rights;

/// With what it works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The gateway.
    pub gateway: GatewayClient,
    /// What is allowed.
    pub rights: Rights,
    /// Where frames may work.
    pub folders: Folders,
    /// Of mimir.
    pub version: String,
    /// Makes a key under which a message is sent once, however often it is tried.
    pub key: fn() -> String,
}
