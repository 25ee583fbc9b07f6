//! What `mimir` alone prints.

use super::context::Context;
use super::exit::{DONE, Outcome};
use super::json::Words;
use super::paint::Ink;

/// What this is, and the three commands to start with.
pub fn run(context: &Context) -> Outcome {
    let (json, out) = (context.out.json, &context.out);
    let mut text = String::new();
    let mut say = |line: String| text.push_str(&(line + "\n"));
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
    say(format!(
        "{} gives every project its own frame: a container in which the opencode coding agent works,\n\
         with a terminal to look over its shoulder and host ports to reach it. The agent sees the\n\
         project's folder and nothing else of this machine; your model keys never enter a frame.\n",
        out.paint.ink(Ink::Bold, "mimir")
    ));
    say(title.to_owned());
    for (command, what) in steps {
        say(format!("  {}  {what}", out.paint.ink(Ink::Cyan, &format!("{command:<24}"))));
    }
    say("\n`mimir doctor` checks this machine, `mimir --help` lists all commands.".to_owned());
    if json {
        out.document(&Words { text })?
    } else {
        out.raw(&text)?
    }
    Ok(DONE)
}
