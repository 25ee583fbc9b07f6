//! Who may do what: scopes, tokens, browsers, names, certificates. Over the gateway's real listeners.
#![cfg(feature = "test-support")]

pub mod browser;
pub mod login;
mod remote;
mod scopes;
mod seats;
mod tokens;

use mimir::access::TokenRequest;
use mimir::model::names::FrameName;
use mimir::model::principal::Principal;
use mimir::model::scope::{Grant, Scope};

use crate::api::world::World;

/// A token of that gateway with these scopes (words with blanks between), for these frames alone.
pub async fn token(world: &World, scopes: &str, frames: Option<&[&str]>) -> String {
    let wish = TokenRequest {
        name: None,
        scopes: scopes.split_whitespace().map(|word| word.parse::<Scope>().expect("a scope")).collect(),
        frames: frames
            .map(|names| names.iter().map(|name| FrameName::parse(name).expect("a name")).collect()),
        expires_at: None,
    };
    let owner = Grant::everything(Principal::Owner { uid: 1000 });
    let (_, secret) = world.services.access.create(&owner, wish).await.expect("a token");
    secret.reveal().to_owned()
}

/// Waits until `done` says so.
async fn until<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(15);
    while !done().await {
        assert!(tokio::time::Instant::now() < end, "it never happened: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
