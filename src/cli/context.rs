//! What every command has at hand.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::environment;
use super::exit::Failure;
use super::output::Out;
use super::remote::{self, Elsewhere};
use crate::client::{ClientError, GatewayClient, KnownGateways, Launch, Launched, NotStarted};
use crate::clock::Clock;
use crate::config::{LoadOptions, Paths};
use crate::daemon::{self, Holder, Stage};
use crate::wire::problem::Problem;

/// Output, home folder, clock.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where words go.
    pub out: Out,
    /// Where this home's things are.
    pub paths: Paths,
    /// From where the configuration is loaded.
    pub load: LoadOptions,
    /// The time.
    pub clock: Clock,
    /// The gateway elsewhere that the environment names.
    pub elsewhere: Option<Elsewhere>,
}

impl Context {
    /// Runs a command that waits for things.
    ///
    /// # Errors
    /// When the system gives no event queue, or what the command says.
    pub fn wait_for<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
                Problem::new(500, "internal", "the system gives no event queue").detail(error.to_string())
            })?;
        let result = runtime.block_on(work);
        // A thread that still waits for a key must not keep us here.
        runtime.shutdown_background();
        result
    }

    /// The gateway of this machine, whether it runs or not, whatever the environment names.
    pub fn gateway_here(&self) -> GatewayClient {
        GatewayClient::new(self.paths.gateway_socket())
    }

    /// The gateway, whether it runs or not.
    ///
    /// # Errors
    /// When the one that the environment names cannot be meant, or somebody at the terminal does not accept it.
    pub async fn gateway_as_it_is(&self) -> Result<GatewayClient, Failure> {
        let Some(elsewhere) = &self.elsewhere else { return Ok(self.gateway_here()) };
        let known = KnownGateways::at(self.paths.known_gateways());
        let remote = elsewhere.remote(&known)?;
        let is_accepted = remote.is_accepted();
        let client = GatewayClient::remote(remote);
        if is_accepted {
            return Ok(client);
        }
        match client.health().await {
            Err(ClientError::UnknownGateway { address, fingerprint }) => {
                if remote::accept(&self.out, &known, &address, fingerprint)? {
                    Ok(GatewayClient::remote(elsewhere.remote(&known)?))
                } else {
                    Err(ClientError::UnknownGateway { address, fingerprint }.into())
                }
            }
            // Whatever else is wrong shows again when something is asked.
            _ => Ok(client),
        }
    }

    /// A gateway that answers: the one that runs, or one that is started now. One elsewhere is never started.
    ///
    /// # Errors
    /// Why it cannot be reached or started.
    pub async fn gateway(&self) -> Result<GatewayClient, Failure> {
        let client = self.gateway_as_it_is().await?;
        let started = match client.health().await {
            Ok(health) => {
                self.compare_versions(&health.version);
                false
            }
            // One that went away while it was asked was asked nothing that could not be asked again.
            Err(ClientError::NoGateway { .. } | ClientError::Lost { .. }) if !client.is_remote() => {
                !self.comes_back(&client).await? && self.start_gateway(&client).await?
            }
            Err(error @ ClientError::TimedOut { .. }) if !client.is_remote() => return Err(self.hangs(error)),
            Err(error) => return Err(error.into()),
        };
        // One that we started has our environment.
        if !started {
            environment::compare(&self.out, &self.load, &client).await?;
        }
        Ok(client)
    }

    /// Whether a gateway that runs, and whose socket vanished, answers again. False when none runs.
    async fn comes_back(&self, client: &GatewayClient) -> Result<bool, Failure> {
        let begun = Instant::now();
        loop {
            let holder = match daemon::holder(&self.paths.lock()) {
                Some(holder @ Holder { stage: Stage::Running, .. }) => holder,
                _ => return Ok(false),
            };
            if client.health().await.is_ok() {
                return Ok(true);
            }
            if begun.elapsed() > daemon::BACK_WITHIN {
                return Err(daemon::already(&holder, &self.paths.gateway_socket()).into());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn hangs(&self, error: ClientError) -> Failure {
        match daemon::holder(&self.paths.lock()) {
            Some(holder) => Problem::new(504, "gateway.timeout", error.to_string())
                .detail(holder.to_string())
                .hint("`mimir serve --stop` ends it, and the next command starts another; frames go on")
                .into(),
            None => error.into(),
        }
    }

    /// Whether it was us who started it.
    async fn start_gateway(&self, client: &GatewayClient) -> Result<bool, Failure> {
        let program = own_program()?;
        let launch = Launch {
            program,
            arguments: ["serve", "--detach", "--json"].map(str::to_owned).to_vec(),
            log: self.paths.log(),
        };
        match self.out.while_waiting("starting the gateway", launch.run(client)).await {
            Ok(Launched::Started) => {
                self.out
                    .say(self.dim("started the gateway in the background (`mimir serve --stop` ends it)"));
                Ok(true)
            }
            Ok(Launched::Already) => Ok(false),
            Err(NotStarted { problem, code }) => {
                let failure = Failure::from(*problem);
                Err(match code {
                    Some(code) => failure.with_code(code),
                    None => failure,
                })
            }
        }
    }

    fn compare_versions(&self, theirs: &str) {
        let ours = env!("CARGO_PKG_VERSION");
        let advice = match self.elsewhere {
            None => "`mimir serve --stop` makes the next command start a new one",
            Some(_) => "use the same version on both machines if something is odd",
        };
        if theirs != ours {
            self.out.warn(format!("the gateway is mimir {theirs}, this is {ours}; {advice}"));
        }
    }

    /// Less important text for standard error.
    pub fn dim(&self, text: &str) -> String {
        self.out.paint_errors.ink(super::paint::Ink::Dim, text)
    }

    /// Now, UTC milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }
}

/// Ourselves, to be started once more; after an upgrade beneath us what is in our place now.
///
/// # Errors
/// When the system does not say.
pub fn own_program() -> Result<PathBuf, Failure> {
    let found = std::env::current_exe().map_err(|error| {
        Problem::new(500, "gateway.start_failed", "our own program cannot be found").detail(error.to_string())
    })?;
    Ok(in_our_place(found, Path::exists))
}

/// The kernel writes that behind the path of a program whose file was replaced.
fn in_our_place(found: PathBuf, is_there: impl Fn(&Path) -> bool) -> PathBuf {
    let now = found.to_str().and_then(|text| text.strip_suffix(" (deleted)")).map(PathBuf::from);
    match now {
        Some(now) if !is_there(&found) && is_there(&now) => now,
        _ => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_replaced_beneath_us_is_found_in_its_place() {
        let found = |path: &str, there: &[&str]| {
            in_our_place(PathBuf::from(path), |path| there.iter().any(|known| path == Path::new(known)))
        };
        assert_eq!(found("/usr/bin/mimir (deleted)", &["/usr/bin/mimir"]), Path::new("/usr/bin/mimir"));
        assert_eq!(found("/usr/bin/mimir", &["/usr/bin/mimir"]), Path::new("/usr/bin/mimir"));
        let odd = "/opt/mimir (deleted)";
        assert_eq!(found(odd, &[odd, "/opt/mimir"]), Path::new(odd), "somebody calls it that");
        assert_eq!(found(odd, &[]), Path::new(odd), "there is nothing to run");
    }
}
