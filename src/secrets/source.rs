//! Asks where a secret comes from. What is printed there is the secret, and is shown nowhere.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::model::secret::Secret;
use crate::model::secrets::{MOST_BYTES, SecretSource};

/// A keyring or a password manager may ask its owner something, who may not be there.
const ANSWER: Duration = Duration::from_secs(30);

/// How much of what a command complains of is told.
const COMPLAINT: usize = 300;

/// Asks a source. None for what is kept.
///
/// # Errors
/// Why it has no answer, as a sentence.
pub(super) async fn ask(source: &SecretSource) -> Result<Option<Secret>, String> {
    let text = match source {
        SecretSource::Kept => return Ok(None),
        SecretSource::Command { command } => {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(command);
            run(shell, "the command").await?
        }
        SecretSource::File { path } => file(path).await?,
        SecretSource::Keyring { service, account } => {
            let mut tool = Command::new("secret-tool");
            tool.args(["lookup", "service"]).arg(service);
            if let Some(account) = account {
                tool.arg("account").arg(account);
            }
            run(tool, "secret-tool").await?
        }
    };
    // What ends a line ends none of a secret.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Some(Secret::new(text.strip_suffix('\r').unwrap_or(text))))
}

async fn file(path: &str) -> Result<String, String> {
    let read = async {
        let mut text = String::new();
        let file = tokio::fs::File::open(path).await?;
        file.take(MOST_BYTES as u64 + 2).read_to_string(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    };
    match tokio::time::timeout(ANSWER, read).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(format!("{path} cannot be read: {error}")),
        Err(_) => Err(format!("{path} was not read within {} s", ANSWER.as_secs())),
    }
}

/// Runs a program to its end, or ends it.
async fn run(mut command: Command, what: &str) -> Result<String, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{what} is not installed"),
        _ => format!("{what} cannot be run: {error}"),
    })?;
    let (Some(out), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(format!("{what} cannot be heard"));
    };
    let (mut text, mut complaint) = (String::new(), String::new());
    let talk = async {
        let mut out = out.take(MOST_BYTES as u64 + 2);
        let mut errors = errors.take(16 * 1024);
        let heard = tokio::join!(out.read_to_string(&mut text), errors.read_to_string(&mut complaint));
        // Whoever says more than anybody reads is not waited for.
        drop((out, errors));
        Ok::<_, std::io::Error>((heard.0?, child.wait().await?))
    };
    let done = match tokio::time::timeout(ANSWER, talk).await {
        Ok(Ok((_, done))) => done,
        Ok(Err(error)) => return Err(format!("{what} printed what is no text: {error}")),
        Err(_) => return Err(format!("{what} had no answer within {} s", ANSWER.as_secs())),
    };
    if done.success() {
        return Ok(text);
    }
    let complaint: String = complaint.trim().chars().take(COMPLAINT).collect();
    let complaint = if complaint.is_empty() { String::new() } else { format!(": {complaint}") };
    Err(format!(
        "{what} ended with {}{complaint}",
        done.code().map_or_else(|| "a signal".to_owned(), |code| code.to_string())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> SecretSource {
        SecretSource::Command { command: text.to_owned() }
    }

    #[tokio::test]
    async fn what_a_source_prints_is_the_secret_without_the_end_of_its_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, "from a file\r\n").expect("written");
        let file = SecretSource::File { path: path.display().to_string() };
        for (source, wanted) in [
            (command("printf 'one two'"), "one two"),
            (command("echo three; echo four"), "three\nfour"),
            (file, "from a file"),
        ] {
            let found = ask(&source).await.expect("an answer").expect("a secret");
            assert_eq!(found.reveal(), wanted);
        }
        assert_eq!(ask(&SecretSource::Kept).await, Ok(None));
    }

    #[tokio::test]
    async fn a_source_without_an_answer_says_why_and_nothing_of_what_it_printed() {
        let why = ask(&command("echo half-a-secret; echo 'vault is locked' >&2; exit 3"))
            .await
            .expect_err("locked");
        assert_eq!(why, "the command ended with 3: vault is locked");
        let why = ask(&SecretSource::File { path: "/no/such/file".to_owned() }).await.expect_err("missing");
        assert!(why.starts_with("/no/such/file cannot be read"), "{why}");
        let long = ask(&command("yes")).await;
        assert!(
            long.is_err() || long.is_ok_and(|text| text.is_some_and(|text| text.reveal().len() > MOST_BYTES))
        );
    }
}
