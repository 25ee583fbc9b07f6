//! A frame's terminal inside somebody's own tmux: two programs listen for the same keys.

use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::cli::context::Context;

/// The user's tmux answers at once or is asked no more.
const PATIENCE: Duration = Duration::from_secs(1);
/// What the terminal in a frame listens to.
const INSIDE: &str = "C-b";

/// Says how to leave the inner one, when there is an outer one: here, and for some seconds in the outer one's last
/// line, because the frame is about to fill the screen.
pub async fn tell(name: &str, context: &Context) {
    if std::env::var_os("TMUX").is_none_or(|tmux| tmux.is_empty()) {
        return;
    }
    let prefix = ask(&["show-options", "-gv", "prefix"]).await.unwrap_or_else(|| INSIDE.to_owned());
    let text = how_to_leave(name, &prefix);
    context.out.say(context.dim(&text));
    if !context.out.quiet {
        // An older tmux knows no -d; then the line above is all.
        let _ = ask(&["display-message", "-d", "8000", &text]).await;
    }
}

fn how_to_leave(name: &str, outer: &str) -> String {
    // Who types the outer one's prefix twice sends it once to the inner one.
    let inner = if outer == INSIDE { format!("{outer} {INSIDE} d") } else { format!("{INSIDE} d") };
    format!("{inner} leaves {name}, {outer} d leaves your own tmux")
}

/// What the tmux that we are in answers. Never one inside a frame: it is asked through our own `TMUX`.
async fn ask(words: &[&str]) -> Option<String> {
    let child = Command::new("tmux").args(words).kill_on_drop(true).output();
    let output = timeout(PATIENCE, child).await.ok()?.ok()?;
    let said = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !said.is_empty()).then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_prefix_is_sent_twice_only_when_both_listen_to_it() {
        assert_eq!(how_to_leave("blog", "C-b"), "C-b C-b d leaves blog, C-b d leaves your own tmux");
        assert_eq!(how_to_leave("blog", "C-a"), "C-b d leaves blog, C-a d leaves your own tmux");
    }
}
