//! SIGTERM and SIGINT ask the gateway to stop; a second one means now. SIGHUP, by which a terminal says that it is gone,
//! asks one that runs in that terminal, and no other.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that stop a gateway.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    /// None where it is ignored, as below `nohup`.
    hangup: Option<Signal>,
    obeys_hangup: bool,
}

impl StopSignals {
    /// Takes them over from the system's default, which would be to die at once. `obeys_hangup`: it runs in a terminal.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn take_over(obeys_hangup: bool) -> std::io::Result<Self> {
        let hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup,
            obeys_hangup,
        })
    }

    /// Waits for the next one and names it.
    pub async fn next(&mut self) -> &'static str {
        let Self { terminate, interrupt, hangup, obeys_hangup } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) if *obeys_hangup => hangup.recv().await,
                // It left its terminal: whoever sends this one means another.
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hung_up => "SIGHUP",
        }
    }
}

/// Whether whoever started us wants us to outlive the terminal.
fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| is_ignored(&status))
}

/// The first bit of the mask is the first signal, which is SIGHUP.
fn is_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::is_ignored;

    #[test]
    fn a_hangup_that_is_ignored_stays_so() {
        assert!(is_ignored("Name:\tmimir\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"));
        assert!(!is_ignored("Name:\tmimir\nSigIgn:\t0000000000001000\n"));
        assert!(!is_ignored("Name:\tmimir\n"));
    }
}
