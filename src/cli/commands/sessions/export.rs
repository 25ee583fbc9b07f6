//! `mimir sessions export`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Which;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome};
use crate::cli::json::SessionExported;
use crate::model::visible;
use crate::wire::problem::Problem;

/// The form of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Everything, for programs
    Json,
    /// Everything, for people
    Markdown,
}

/// Write a conversation with everything in it: text, reasoning, tools, changed files, tokens, cost
#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    which: Which,
    /// In which form; Markdown unless the file's name ends in .json
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// Into this file, which must not be there yet, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file
    #[arg(long, requires = "output")]
    force: bool,
}

pub async fn run(args: &ExportArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let form = args.format.unwrap_or_else(|| usual_form(args.output.as_deref(), context.out.json));
    let word = match form {
        Form::Json => "json",
        Form::Markdown => "markdown",
    };
    let text = gateway.export_session(&args.which.session, args.which.frame(), word).await?;
    let size_bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
    let Some(path) = &args.output else {
        if context.out.json && form == Form::Markdown {
            let text = Some(String::from_utf8_lossy(&text).into_owned());
            context.out.document(&SessionExported { file: None, text, size_bytes, format: word.into() })?;
            return Ok(DONE);
        }
        let text = String::from_utf8_lossy(&text);
        match form {
            Form::Json => context.out.raw(&visible::json(&text))?,
            Form::Markdown => context.out.raw(&visible::prose(&text))?,
        }
        return Ok(DONE);
    };
    write(path, &text, args.force)?;
    if context.out.json {
        let file = Some(path.display().to_string());
        context.out.document(&SessionExported { file, text: None, size_bytes, format: word.into() })?;
    } else {
        context.out.say(format!("written to {}", path.display()));
    }
    Ok(DONE)
}

fn usual_form(output: Option<&Path>, json: bool) -> Form {
    match output {
        Some(path) if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json")) => {
            Form::Json
        }
        None if json => Form::Json,
        _ => Form::Markdown,
    }
}

/// A conversation may hold secrets that somebody typed, so the file is for its owner alone.
fn write(path: &Path, text: &[u8], force: bool) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).mode(0o600);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(path).and_then(|mut file| file.write_all(text)).map_err(|error| {
        let problem = match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Problem::new(409, "output.exists", format!("{} is there already", path.display()))
                    .hint("name another file, or add --force to replace it")
            }
            _ => Problem::new(507, "output.failed", format!("{} cannot be written", path.display()))
                .detail(error.to_string())
                .hint("name a file in a folder that is there and yours: `--output FILE`"),
        };
        problem.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_the_files_name() {
        assert_eq!(usual_form(Some(Path::new("a.JSON")), false), Form::Json);
        assert_eq!(usual_form(Some(Path::new("a.md")), true), Form::Markdown);
        assert_eq!(usual_form(None, true), Form::Json);
        assert_eq!(usual_form(None, false), Form::Markdown);
    }

    #[test]
    fn a_file_that_is_there_is_kept_unless_it_is_to_be_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("talk.md");
        write(&path, b"first, longer", false).expect("written");
        let refused = write(&path, b"second", false).expect_err("it is there").problem;
        assert_eq!(refused.code, "output.exists");
        write(&path, b"second", true).expect("replaced");
        assert_eq!(std::fs::read(&path).expect("reads"), b"second");
        let nowhere = write(&folder.path().join("no/talk.md"), b"", false).expect_err("no folder").problem;
        assert_eq!(nowhere.code, "output.failed");
    }
}
