//! The program: parse, run, turn a problem into an exit code.

use std::io::Write as _;
use std::panic::PanicHookInfo;
use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        // Where that cannot be written either there is nobody to tell; a panic in here would end us at once.
        let _ = writeln!(std::io::stderr(), "{panic}");
        mimir::cli::explain_panic(&place);
    }));
    // A panic has explained itself by then; its exit code says that it is our bug.
    let code = std::panic::catch_unwind(|| mimir::cli::run(std::env::args_os().collect()));
    ExitCode::from(code.unwrap_or(70))
}
