//! `mimir help TOPIC`.

use clap::CommandFactory;

use super::context::Context;
use super::exit::{self, DONE, Outcome, usage};
use super::grammar::Args;
use super::table::{Table, column};

/// Prints the help of a command, or a topic that is no command.
pub fn run(topic: &[String], context: &Context) -> Outcome {
    if topic == ["exit-codes"] {
        return exit_codes(context);
    }
    let mut root = Args::command();
    root.build();
    let mut command = &mut root;
    for word in topic {
        let Some(next) = command.find_subcommand_mut(word) else {
            return Err(usage(format!("there is no help on `{}`", topic.join(" ")))
                .hint("`mimir --help` lists the commands; `mimir help exit-codes` is the one other topic")
                .into());
        };
        command = next;
    }
    let text = command.render_help();
    context.out.raw(&if context.out.paint.is_on() { text.ansi().to_string() } else { text.to_string() })?;
    Ok(DONE)
}

fn exit_codes(context: &Context) -> Outcome {
    if context.out.json {
        let table: Vec<_> = exit::TABLE
            .iter()
            .map(|(code, meaning)| serde_json::json!({"code": code, "meaning": meaning}))
            .collect();
        context.out.document(&table)?;
        return Ok(DONE);
    }
    let mut table = Table::new(&[column("CODE").right(), column("MEANING")]);
    for (code, meaning) in exit::TABLE {
        table.row(vec![code.to_string().into(), (*meaning).into()]);
    }
    // Wide sentences are better wrapped by the terminal than cut by us.
    context.out.raw(&table.render(None, context.out.paint))?;
    Ok(DONE)
}
