//! How git is run: what it may see, how long it may take, and that nothing of it is left.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::error::GitError;

/// The most that git may say where an answer is read whole.
const LONGEST_ANSWER: usize = 32 * 1024 * 1024;
/// The most that is kept of its last words.
const LONGEST_WORDS: usize = 64 * 1024;

/// What git may see of the gateway's environment: where programs are, the way to the outside, and who is trusted there.
const PASSED_ON: &[&str] = &[
    "PATH",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
];

/// What holds whatever stands in a repository. Nothing of it can run a program, lead elsewhere, or keep a process.
const ALWAYS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.askPass=",
    "core.packedGitWindowSize=16m",
    "core.packedGitLimit=256m",
    "core.bigFileThreshold=16m",
    "credential.helper=",
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.ext.allow=never",
    "protocol.file.allow=never",
    "http.followRedirects=false",
    "http.emptyAuth=false",
    // A forge that says nothing for three minutes has gone.
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=180",
    "transfer.fsckObjects=true",
    "transfer.bundleURI=false",
    "fetch.recurseSubmodules=false",
    "push.recurseSubmodules=no",
    "submodule.recurse=false",
    "gc.auto=0",
    "gc.autoDetach=false",
    "maintenance.auto=false",
    "pack.threads=2",
    "pack.windowMemory=128m",
    "advice.detachedHead=false",
];

/// The host's git.
#[derive(Clone, Debug)]
pub struct Git {
    home: Arc<Path>,
}

/// What git said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
    /// None when a signal ended it.
    pub(super) code: Option<i32>,
}

/// How git is to be run.
pub(super) struct Job<'a> {
    /// What it is to do, for people.
    pub(super) what: &'static str,
    /// In which repository.
    pub(super) repository: &'a Path,
    pub(super) args: Vec<String>,
    /// For how long at most.
    pub(super) within: Duration,
}

impl Git {
    /// With that empty folder for its home.
    #[must_use]
    pub fn new(home: &Path) -> Self {
        Self { home: home.into() }
    }

    /// Makes a repository without a folder of files.
    ///
    /// # Errors
    /// See [`GitError`].
    pub(super) async fn init(&self, folder: &Path) -> Result<(), GitError> {
        std::fs::create_dir_all(&*self.home).map_err(|error| GitError::folder(&self.home, error))?;
        std::fs::create_dir_all(folder).map_err(|error| GitError::folder(folder, error))?;
        let args =
            ["init", "--quiet", "--bare", "--template=", "--initial-branch=main", "--object-format=sha1"];
        let job = Job::new("making a repository", folder, args, Duration::from_secs(30));
        self.run(job).await.map(drop)
    }

    /// git with nothing of the user's, the system's and the caller's in it.
    pub(super) fn command(&self, repository: &Path) -> Command {
        self.set_up(Command::new("git"), repository)
    }

    /// The same, whose files may not grow past so many bytes.
    pub(super) fn command_below(&self, repository: &Path, most: u64) -> Command {
        let mut shell = Command::new("/bin/sh");
        // In blocks of 512 bytes, as POSIX says it.
        shell.args(["-c", "ulimit -f \"$0\" && exec git \"$@\"", &(most / 512 + 1).to_string()]);
        self.set_up(shell, repository)
    }

    fn set_up(&self, mut git: Command, repository: &Path) -> Command {
        git.env_clear();
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                git.env(name, value);
            }
        }
        git.envs([
            ("HOME", self.home.as_os_str()),
            ("XDG_CONFIG_HOME", self.home.as_os_str()),
            ("GIT_DIR", repository.as_os_str()),
        ]);
        git.envs([
            ("LC_ALL", "C"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_PROTOCOL_FROM_USER", "0"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_PAGER", "cat"),
            // A small delta can say that it becomes something huge.
            ("GIT_ALLOC_LIMIT", "512m"),
        ]);
        for setting in ALWAYS {
            git.args(["-c", setting]);
        }
        git.current_dir("/").kill_on_drop(true).process_group(0);
        git.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        git
    }

    /// Runs it and gives what it said, if it succeeded.
    pub(super) async fn run(&self, job: Job<'_>) -> Result<Vec<u8>, GitError> {
        let mut command = self.command(job.repository);
        command.args(&job.args);
        succeeded(job.what, self.say(job.what, command, nothing(), job.within).await?)
    }

    /// The same, for one that is told something.
    pub(super) async fn run_with(&self, job: Job<'_>, input: Vec<u8>) -> Result<Vec<u8>, GitError> {
        let mut command = self.command(job.repository);
        command.args(&job.args);
        let input = stream::iter([Ok(Bytes::from(input))]);
        succeeded(job.what, self.say(job.what, command, input, job.within).await?)
    }

    /// The beginning of what it says, and whether that is all of it. It is ended when it says more.
    pub(super) async fn run_for(
        &self,
        job: Job<'_>,
        input: Vec<u8>,
        most: usize,
    ) -> Result<(Vec<u8>, bool), GitError> {
        let mut command = self.command(job.repository);
        command.args(&job.args);
        let input = stream::iter([Ok(Bytes::from(input))]);
        let (said, is_all) = self.hear(job.what, command, input, job.within, most, true).await?;
        if is_all { Ok((succeeded(job.what, said)?, true)) } else { Ok((said.stdout, false)) }
    }

    /// Runs it to its end, however that is.
    pub(super) async fn say<S>(
        &self,
        what: &'static str,
        command: Command,
        input: S,
        within: Duration,
    ) -> Result<Said, GitError>
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin + Send,
    {
        match self.hear(what, command, input, within, LONGEST_ANSWER, false).await? {
            (said, true) => Ok(said),
            (_, false) => Err(GitError::TooLarge { what: "what git said", limit: "32 MiB".to_owned() }),
        }
    }

    async fn hear<S>(
        &self,
        what: &'static str,
        mut command: Command,
        mut input: S,
        within: Duration,
        most: usize,
        is_enough: bool,
    ) -> Result<(Said, bool), GitError>
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin + Send,
    {
        command.stdin(Stdio::piped());
        let (mut child, mut group) = start(what, command)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let broken = |source| GitError::Broken { what, source };
        let feed = async move {
            let Some(mut stdin) = stdin else { return Ok(()) };
            while let Some(piece) = input.next().await {
                // One that has heard enough says why; whoever sends the rest sees to that.
                if stdin.write_all(&piece?).await.is_err() {
                    break;
                }
            }
            Ok::<(), io::Error>(())
        };
        let done = async {
            let (fed, said, words) = tokio::join!(
                feed,
                read_most(stdout, most, is_enough),
                read_most(stderr, LONGEST_WORDS, false)
            );
            fed.map_err(broken)?;
            let (stdout, is_all) = said.map_err(broken)?;
            let (words, _) = words.map_err(broken)?;
            let status = child.wait().await.map_err(broken)?;
            group.has_ended();
            let stderr = String::from_utf8_lossy(&words).into_owned();
            Ok((Said { stdout, stderr, code: status.code() }, is_all))
        };
        let late = || GitError::TooSlow { what, seconds: within.as_secs() };
        tokio::time::timeout(within, done).await.unwrap_or_else(|_| Err(late()))
    }
}

impl<'a> Job<'a> {
    pub(super) fn new<T: AsRef<str>>(
        what: &'static str,
        repository: &'a Path,
        args: impl IntoIterator<Item = T>,
        within: Duration,
    ) -> Self {
        Self { what, repository, args: args.into_iter().map(|arg| arg.as_ref().to_owned()).collect(), within }
    }
}

pub(super) fn nothing() -> stream::Empty<io::Result<Bytes>> {
    stream::empty()
}

/// Starts it. What it began ends with what is given beside it.
pub(super) fn start(what: &'static str, mut command: Command) -> Result<(Child, Group), GitError> {
    let child = command.spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => GitError::Missing,
        _ => GitError::Broken { what, source },
    })?;
    let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    Ok((child, Group(leader)))
}

/// A process with all that it began; they end when this is dropped.
#[derive(Debug)]
pub(super) struct Group(Option<Pid>);

impl Group {
    /// It came to its own end; its number may be somebody else's from now on.
    pub(super) fn has_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Reads to the end, and says whether what is given is all of it. `is_enough`: what is more is not even read.
async fn read_most(
    from: Option<impl AsyncRead + Unpin>,
    most: usize,
    is_enough: bool,
) -> io::Result<(Vec<u8>, bool)> {
    let Some(mut from) = from else { return Ok((Vec::new(), true)) };
    let (mut read, mut buffer) = (Vec::new(), vec![0; 32 * 1024]);
    let mut is_all = true;
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok((read, is_all));
        }
        // The rest is read as well, mostly: whoever cannot write any more ends at once, without a last word.
        let room = most.saturating_sub(read.len()).min(count);
        is_all &= room == count;
        read.extend(&buffer[..room]);
        if is_enough && !is_all {
            return Ok((read, false));
        }
    }
}

fn succeeded(what: &'static str, said: Said) -> Result<Vec<u8>, GitError> {
    match said.code {
        Some(0) => Ok(said.stdout),
        code => Err(GitError::Refused { what, why: last_words(&said.stderr, code) }),
    }
}

/// What git says when a forge asked for a credential, and it may ask nobody for one.
const ASKS_WHO: &str = "could not read Username for ";
/// The same for people: the forge does not say which of the two it is.
const NOT_OPENED: &str =
    "the forge asks for a credential; there is none for it, or it does not take the one that there is";

/// Why it did not succeed, in one line.
pub(super) fn last_words(stderr: &str, code: Option<i32>) -> String {
    let lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let of_git = lines.clone().filter(|line| line.starts_with("fatal: ") || line.starts_with("error: "));
    let chosen: Vec<&str> = match of_git.clone().next() {
        Some(_) => of_git.collect(),
        None => lines.collect(),
    };
    let last: Vec<String> = chosen
        .iter()
        .rev()
        .take(3)
        .rev()
        .map(|line| line.trim_start_matches("fatal: ").trim_start_matches("error: "))
        .map(|line| match line.starts_with(ASKS_WHO) {
            true => NOT_OPENED.to_owned(),
            false => line.chars().take(300).collect(),
        })
        .collect();
    match (last.is_empty(), code) {
        (false, _) => last.join("; "),
        (true, Some(code)) => format!("git ended with {code}"),
        (true, None) => "git was ended".to_owned(),
    }
}

/// How many bytes lie below a folder.
pub(super) fn size_of(folder: &Path) -> u64 {
    let mut sum = 0;
    let mut left: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => left.push(entry.path()),
                Ok(found) => sum += found.len(),
                Err(_) => {}
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gits_own_words_say_why() {
        let of = |text: &str| last_words(text, Some(128));
        assert_eq!(
            of("Counting\nerror: object 1 is bad\nfatal: fsck error\n"),
            "object 1 is bad; fsck error"
        );
        assert_eq!(of("something\n"), "something");
        let asks = "fatal: could not read Username for 'https://example.org': terminal prompts disabled\n";
        assert_eq!(of(asks), NOT_OPENED);
        assert_eq!(of(""), "git ended with 128");
        assert_eq!(last_words("", None), "git was ended");
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended_with_everything_it_began() {
        let folder = tempfile::tempdir().expect("a folder");
        let git = Git::new(&folder.path().join("home"));
        let mark = folder.path().join("mark");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("(sleep 2; touch {}) & sleep 60", mark.display())]);
        command.process_group(0).kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
        let late = git.say("waiting", command, nothing(), Duration::from_millis(300)).await;
        assert!(matches!(late, Err(GitError::TooSlow { .. })), "{late:?}");
        // Whether it is gone is asked of the process table: its name stands in nobody's command line any more.
        let name = mark.display().to_string();
        let runs = || {
            std::fs::read_dir("/proc").into_iter().flatten().flatten().any(|entry| {
                let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&line).contains(&name)
            })
        };
        let began = std::time::Instant::now();
        while runs() {
            assert!(began.elapsed() < Duration::from_secs(10), "what it began goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!mark.exists());
    }

    #[tokio::test]
    async fn nothing_of_the_users_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let git = Git::new(&folder.path().join("home"));
        let repository = folder.path().join("r.git");
        git.init(&repository).await.expect("made");
        let job =
            Job::new("looking", &repository, ["config", "--list", "--show-scope"], Duration::from_secs(10));
        let said = String::from_utf8(git.run(job).await.expect("said")).expect("text");
        assert!(said.lines().all(|line| line.starts_with("command") || line.starts_with("local")), "{said}");
        assert!(
            said.contains("core.hookspath=/dev/null") && said.contains("protocol.ext.allow=never"),
            "{said}"
        );
    }
}
