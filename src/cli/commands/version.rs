//! `mimir version`

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Outcome};
use crate::cli::json::Versions;
use crate::cli::table::clean;

/// Starts nothing: the version of a gateway that does not run is ours.
pub async fn run(context: &Context) -> Outcome {
    let ours = env!("CARGO_PKG_VERSION");
    let gateway = match context.gateway_as_it_is().await {
        Ok(gateway) => gateway.health().await.ok().map(|health| health.version),
        // A gateway elsewhere that nobody has accepted yet is asked nothing.
        Err(_) => None,
    };
    if context.out.json {
        context.out.document(&Versions { version: ours.to_owned(), gateway })?;
        return Ok(DONE);
    }
    context.out.line(format!("mimir {ours}"))?;
    if let Some(theirs) = gateway {
        context.out.line(format!("gateway {}", clean(&theirs)))?;
    }
    Ok(DONE)
}
