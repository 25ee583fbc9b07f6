//! `mimir web open`

use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use tokio::process::Command;
use tokio::time::timeout;

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome, usage};
use crate::cli::json::WebOpened;
use crate::wire::problem::Problem;

/// A program that says nothing for so long has opened it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Open the dashboard in this machine's browser, where you come in with the password
///
/// The address alone is opened, by `$BROWSER` or xdg-open: other users see what programs are started with, so no link that
/// lets somebody in is.
#[derive(Debug, Args)]
pub struct OpenArgs {}

pub(super) async fn run(_: &OpenArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    if gateway.is_remote() {
        return Err(usage("`mimir web open` is for the gateway of this machine")
            .hint("open its address in your browser, and come in with the password")
            .into());
    }
    if !gateway.web_login().await?.has_password {
        return Err(Problem::new(409, "login.no_password", "there is no password to come in with")
            .hint("`mimir web` prints a link that lets you in; `mimir web password` sets a password")
            .into());
    }
    let status = gateway.status().await?;
    let url = address_here(&status.http).ok_or_else(|| {
        Problem::new(409, "web.off", "no browser of this machine can reach the gateway")
            .detail(format!("it listens at: {}", status.http))
            .hint("`mimir config set server.http_port 8080`, then restart it")
    })?;
    let browser = std::env::var("BROWSER").ok().filter(|program| !program.is_empty());
    start(&browser.unwrap_or_else(|| "xdg-open".to_owned()), &url).await?;
    if context.out.json {
        context.out.document(&WebOpened { url })?;
    } else {
        context.out.line(format!("{url} opened"))?;
    }
    Ok(DONE)
}

/// The gateway's address as a browser of this machine writes it.
fn address_here(http: &str) -> Option<String> {
    let (scheme, address) = match http.strip_prefix("https://") {
        Some(address) => ("https", address),
        None => ("http", http),
    };
    let mut address: std::net::SocketAddr = address.parse().ok()?;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    Some(format!("{scheme}://{address}/"))
}

async fn start(program: &str, url: &str) -> Result<(), Failure> {
    let failed = |why: String| {
        Problem::new(502, "web.no_browser", format!("{program} did not open the page"))
            .detail(why)
            .hint(format!("open {url} yourself"))
    };
    let mut child = Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(false)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    match timeout(PATIENCE, child.wait()).await {
        Ok(Ok(status)) if !status.success() => Err(failed(status.to_string()).into()),
        Ok(Err(error)) => Err(failed(error.to_string()).into()),
        // A program that stays is the browser itself.
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::address_here;

    #[test]
    fn a_browser_of_this_machine_is_sent_to_this_machine() {
        for (http, expected) in [
            ("127.0.0.1:8080", Some("http://127.0.0.1:8080/")),
            ("https://0.0.0.0:8443", Some("https://127.0.0.1:8443/")),
            ("https://[::]:8443", Some("https://127.0.0.1:8443/")),
            ("https://10.0.0.9:8443", Some("https://10.0.0.9:8443/")),
            ("off (server.http_port is 0)", None),
        ] {
            assert_eq!(address_here(http).as_deref(), expected, "{http}");
        }
    }
}
