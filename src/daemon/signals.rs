//! SIGTERM and SIGINT ask the gateway to stop; a second one means now.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The two signals that stop a gateway.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Takes them over from the system's default, which would be to die at once.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn take_over() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
