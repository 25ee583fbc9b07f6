//! What every command has at hand.

use std::future::Future;

use super::exit::Failure;
use super::output::Out;
use crate::client::{ClientError, GatewayClient, Launch, Launched, NotStarted};
use crate::clock::Clock;
use crate::config::Paths;
use crate::wire::problem::Problem;

/// Output, home folder, clock.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where words go.
    pub out: Out,
    /// Where this home's things are.
    pub paths: Paths,
    /// The time.
    pub clock: Clock,
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

    /// The gateway, whether it runs or not.
    pub fn gateway_as_it_is(&self) -> GatewayClient {
        GatewayClient::new(self.paths.gateway_socket())
    }

    /// A gateway that answers: the one that runs, or one that is started now.
    ///
    /// # Errors
    /// Why it cannot be reached or started.
    pub async fn gateway(&self) -> Result<GatewayClient, Failure> {
        let client = self.gateway_as_it_is();
        match client.health().await {
            Ok(health) => {
                self.compare_versions(&health.version);
                Ok(client)
            }
            Err(ClientError::NoGateway { .. }) => {
                self.start_gateway(&client).await?;
                Ok(client)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn start_gateway(&self, client: &GatewayClient) -> Result<(), Failure> {
        let program = std::env::current_exe().map_err(|error| {
            Problem::new(500, "gateway.start_failed", "our own program cannot be found")
                .detail(error.to_string())
        })?;
        let launch = Launch {
            program,
            arguments: ["serve", "--detach", "--json"].map(str::to_owned).to_vec(),
            log: self.paths.log(),
        };
        match self.out.while_waiting("starting the gateway", launch.run(client)).await {
            Ok(Launched::Started) => {
                self.out
                    .say(self.dim("started the gateway in the background (`mimir serve --stop` ends it)"));
                Ok(())
            }
            Ok(Launched::Already) => Ok(()),
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
        if theirs != ours {
            self.out.warn(format!(
                "the gateway is mimir {theirs}, this is {ours}; `mimir serve --stop` makes the next command start a new one"
            ));
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
