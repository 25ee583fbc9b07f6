//! What `mimir` alone prints.

use super::context::Context;
use super::exit::{DONE, Outcome};
use super::paint::Ink;

/// What this is, and the three commands to start with.
pub fn run(context: &Context) -> Outcome {
    let out = &context.out;
    let configured = context.paths.config_file().exists();
    let (title, steps): (&str, [(&str, &str); 3]) = if configured {
        (
            "Every day:",
            [
                ("mimir frame list", "your frames and what their agents are doing"),
                ("mimir send \"…\"", "ask the agent of this folder's frame"),
                ("mimir frame attach NAME", "look over its shoulder"),
            ],
        )
    } else {
        (
            "Start with:",
            [
                ("mimir init", "looks at this folder, asks for a model key, writes the configuration"),
                ("mimir frame create", "makes a frame for this folder and starts its agent"),
                ("mimir send \"hello\"", "asks it something; without a model key a built-in demo answers"),
            ],
        )
    };
    out.line(format!(
        "{} gives every project its own frame: a container in which the opencode coding agent works,\n\
         with a terminal to look over its shoulder and host ports to reach it. The agent sees the\n\
         project's folder and nothing else of this machine; your model keys never enter a frame.\n",
        out.paint.ink(Ink::Bold, "mimir")
    ))?;
    out.line(title)?;
    for (command, what) in steps {
        out.line(format!("  {}  {what}", out.paint.ink(Ink::Cyan, &format!("{command:<24}"))))?;
    }
    out.line("\n`mimir doctor` checks this machine, `mimir --help` lists all commands.")?;
    Ok(DONE)
}
