//! Speaks the protocol over a pair of streams until the other side closes them.

use rmcp::service::{RoleServer, ServerInitializeError, ServiceExt as _};
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::LocalSet;

use crate::handler::Server;
use crate::settings::Settings;

/// No message of a client is longer: a prompt has at most a MiB.
const LONGEST_LINE: usize = 8 << 20;

/// Why it ended before somebody wanted it to.
#[derive(Debug, thiserror::Error)]
pub enum McpError {
    /// What came was not the protocol: look at the program that was to speak it.
    #[error("whoever started it does not speak the Model Context Protocol: {0}")]
    NoProtocol(String),
    /// A bug of ours.
    #[error("a part of the server failed")]
    Broken,
}

/// Serves one client. Returns when it closes its side.
///
/// # Errors
/// When the other side speaks something else.
pub async fn serve<R, W>(settings: Settings, input: R, output: W) -> Result<(), McpError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let transport: AsyncRwTransport<RoleServer, R, W> =
        AsyncRwTransport::new(input, output).with_max_line_length(LONGEST_LINE);
    let work = async move {
        match Server::new(settings).serve(transport).await {
            Ok(running) => running.waiting().await.map(drop).map_err(|_| McpError::Broken),
            // It was only tried whether we are there.
            Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
            Err(error) => Err(McpError::NoProtocol(error.to_string())),
        }
    };
    LocalSet::new().run_until(work).await
}
