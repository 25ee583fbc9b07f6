//! The Debian that a frame image is built on.

use std::time::Duration;

use super::inputs::BASE_SCRIPT;
use super::run::Runner;
use super::{BuildError, Scratch};

/// The name of bases that this program makes; the tag is Debian's.
pub const BASE_NAME: &str = "localhost/mimir-base";
/// One that it has made before.
const OWN: &str = "localhost/mimir-base:bookworm";
/// The one that everybody has.
const PUBLIC: &str = "docker.io/library/debian:bookworm-slim";
/// Where no registry is reachable, some networks drop the question instead of refusing it.
const PULL_DEADLINE: Duration = Duration::from_secs(120);
const MAKE_DEADLINE: Duration = Duration::from_secs(1800);

/// A base that is on this machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) reference: String,
    /// Which and why, for people.
    pub(super) why: String,
}

/// The given one; else one that is here; else the registry's; else one made from Debian's packages.
pub(super) async fn find(
    runner: &Runner<'_>,
    given: Option<&str>,
    scratch: &Scratch,
) -> Result<Base, BuildError> {
    if let Some(reference) = given {
        return named(runner, reference).await;
    }
    for reference in [OWN, PUBLIC] {
        if exists(runner, reference).await? {
            return Ok(base(reference, "it was on this machine"));
        }
    }
    let refused = match pull(runner, PUBLIC).await {
        Ok(()) => return Ok(base(PUBLIC, "fetched from its registry")),
        Err(error @ (BuildError::NoEngine { .. } | BuildError::DiskFull { .. })) => return Err(error),
        Err(error) => error,
    };
    runner.say("no registry is reachable; making a base from Debian's packages").await;
    match make(runner, scratch).await {
        Ok(()) => Ok(base(OWN, "made from Debian's packages, because no registry is reachable")),
        Err(error @ (BuildError::NoEngine { .. } | BuildError::DiskFull { .. })) => Err(error),
        Err(error) => Err(BuildError::NoBase { tried: format!("{refused}; then {error}") }),
    }
}

fn base(reference: &str, why: &str) -> Base {
    Base { reference: reference.to_owned(), why: format!("{reference}: {why}") }
}

async fn named(runner: &Runner<'_>, reference: &str) -> Result<Base, BuildError> {
    if reference.starts_with('-') {
        // The engine would take it for one of its own options.
        let why = "that is not the name of an image".to_owned();
        return Err(BuildError::NoSuchBase { reference: reference.to_owned(), why });
    }
    if !exists(runner, reference).await? {
        match pull(runner, reference).await {
            Err(BuildError::Failed { last: why, .. } | BuildError::TooSlow { last: why, .. }) => {
                return Err(BuildError::NoSuchBase { reference: reference.to_owned(), why });
            }
            done => done?,
        }
    }
    Ok(base(reference, "as asked for"))
}

async fn exists(runner: &Runner<'_>, reference: &str) -> Result<bool, BuildError> {
    Ok(runner.ask(&["image", "exists", reference]).await?.is_ok())
}

async fn pull(runner: &Runner<'_>, reference: &str) -> Result<(), BuildError> {
    runner.step(&format!("fetching {reference}")).await;
    runner.engine_within("fetch the base image", &["pull", "-q", reference], PULL_DEADLINE).await
}

async fn make(runner: &Runner<'_>, scratch: &Scratch) -> Result<(), BuildError> {
    runner.step("making a Debian base (one to two minutes)").await;
    let archive = scratch.folder.join("base.tar").display().to_string();
    let script = scratch.folder.join(BASE_SCRIPT);
    runner.program("make a Debian base", &script, &[&archive], MAKE_DEADLINE).await?;
    runner.engine("import the base", &["import", "-q", "--change", r#"CMD ["/bin/sh"]"#, &archive, OWN]).await
}
