//! What git inside a frame knows of the user: who commits, and which way leads to forges. No credential is in it.
//!
//! It stands below every configuration of the frame's own: a repository's identity wins over the user's.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::model::container::inside;
use crate::model::git::{ForgeHost, FrameForge, Repository};
use crate::model::network::NetworkMode;

/// A home on a slow disk may take its time; a start must not wait longer for a name.
const WITHIN: Duration = Duration::from_secs(5);

/// What stands above every file, and so in the environment: signing needs a key, and keys stay outside; a repository that
/// is shared with a group would have git set set-id bits, which a frame may not (folders inherit the group all the same
/// where the folder above has that bit).
const ABOVE_FILES: &[(&str, &str)] =
    &[("commit.gpgsign", "false"), ("tag.gpgsign", "false"), ("core.sharedRepository", "umask")];

/// What git runs for an SSH address that has no https twin, where no connection could be made anyway. Its broker hears of it
/// first, so that whoever looks at the frame from outside sees which host was wanted.
const NO_SSH: &str = "f() { while :; do case \"$1\" in -[op]) shift 2;; -*) shift;; *) break;; esac; done; \
                      curl -s -o /dev/null -m 3 -p --noproxy '' -x http://127.0.0.1:8118 \"http://${1##*@}:22/\" \
                      </dev/null >/dev/null 2>&1; \
                      echo 'mimir: no ssh leads out of this frame; use the https address of the repository: \
                      git remote set-url origin https://HOST/OWNER/NAME.git' >&2; exit 128; }; f";

/// What the user's own git configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostGit {
    /// Who commits.
    pub name: Option<String>,
    /// … and where to reach them.
    pub email: Option<String>,
    /// Whether commits or tags are signed.
    pub signs: bool,
}

impl HostGit {
    /// Asks the host's git, outside of every project. Without one, or when it does not answer, nothing is known.
    pub async fn read() -> Self {
        Self::ask(Path::new("git")).await.unwrap_or_default()
    }

    /// The same of that git; none when it does not answer, which says nothing of what is configured. Where there is no git,
    /// nobody commits.
    pub(super) async fn ask(program: &Path) -> Option<Self> {
        let mut git = Command::new(program);
        // In no repository: `/` and nothing above it. What an environment could add would be of somebody's project.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"GIT_") {
                git.env_remove(name);
            }
        }
        git.current_dir("/").args(["config", "--null", "--get-regexp", r"^(user|commit|tag)\."]);
        let asked = git.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).output();
        match tokio::time::timeout(WITHIN, asked).await.ok()? {
            // One that was killed has not answered either.
            Ok(done) => done.status.code().map(|_| Self::parse(&done.stdout)),
            Err(error) => (error.kind() == io::ErrorKind::NotFound).then(Self::default),
        }
    }

    fn parse(answer: &[u8]) -> Self {
        let mut found = Self::default();
        for entry in String::from_utf8_lossy(answer).split('\0') {
            // A key without a value is a true one.
            let (key, value) = entry.split_once('\n').unwrap_or((entry, "true"));
            let text = Some(value.to_owned()).filter(|value| !value.trim().is_empty());
            match key {
                "user.name" => found.name = text,
                "user.email" => found.email = text,
                "commit.gpgsign" | "tag.gpgsign" => {
                    found.signs |= matches!(value, "true" | "yes" | "on" | "1");
                }
                _ => {}
            }
        }
        found
    }

    /// Whether somebody is known to commit as.
    #[must_use]
    pub fn is_somebody(&self) -> bool {
        self.name.is_some() && self.email.is_some()
    }

    /// The text of [`inside::GIT_CONFIG`]. `is_shared`: the repository's folder is not all the frame's to write.
    ///
    /// What git asks of a forge goes to the frame's broker, which adds what opens it. With a network of its own a frame
    /// asks forges as it likes, but for its own repository: there is no key inside for that.
    pub(super) fn config_file(
        &self,
        network: NetworkMode,
        is_shared: bool,
        forge: &FrameForge,
        forges: &[ForgeHost],
    ) -> String {
        let mut text = "[include]\n\tpath = /etc/gitconfig\n[user]\n".to_owned();
        for (key, value) in [("name", &self.name), ("email", &self.email)] {
            text.extend(value.iter().map(|value| format!("\t{key} = {}\n", quoted(value))));
        }
        if is_shared {
            text.push_str("[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n");
        }
        for at in forges {
            let own = forge.repository.as_ref().filter(|own| own.host() == at.authority);
            match (network, own) {
                (NetworkMode::Open, None) => {}
                (NetworkMode::Open, Some(own)) => text.push_str(&through_the_broker(at, own.path())),
                (NetworkMode::Sealed | NetworkMode::Allow, _) => text.push_str(&through_the_broker(at, "")),
            }
        }
        text
    }
}

/// Has git ask its broker for everything at a forge that begins with that path.
fn through_the_broker(at: &ForgeHost, path: &str) -> String {
    let host = at.authority.split(':').next().unwrap_or_default();
    let scheme = if at.is_plain { "http" } else { "https" };
    format!(
        "[url \"http://127.0.0.1:{}/git/{authority}/{path}\"]\n\tinsteadOf = {scheme}://{authority}/{path}\n\t\
         insteadOf = git@{host}:{path}\n\tinsteadOf = ssh://git@{host}/{path}\n",
        inside::BROKER_PORT,
        authority = at.authority,
    )
}

/// The repository that a folder's own configuration calls its origin. An agent may have written that, so it is shown to
/// whoever makes a frame.
pub(super) fn origin(config: &str) -> Option<Repository> {
    let url = super::git_folder::setting(config, "remote \"origin\"", "url")?;
    Repository::parse(&url).ok()
}

/// The variables that lead git there. The user's own come after them and win.
pub(super) fn environment(network: NetworkMode) -> Vec<(String, String)> {
    let mut all = vec![("GIT_CONFIG_SYSTEM", inside::GIT_CONFIG)];
    if network != NetworkMode::Open {
        // Else git would run it once more to find out what kind of ssh it is.
        all.extend([("GIT_SSH_COMMAND", NO_SSH), ("GIT_SSH_VARIANT", "ssh")]);
    }
    let mut all: Vec<_> = all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    all.push(("GIT_CONFIG_COUNT".to_owned(), ABOVE_FILES.len().to_string()));
    for (n, (key, value)) in ABOVE_FILES.iter().enumerate() {
        all.push((format!("GIT_CONFIG_KEY_{n}"), (*key).to_owned()));
        all.push((format!("GIT_CONFIG_VALUE_{n}"), (*value).to_owned()));
    }
    all
}

/// A value as git's configuration writes it.
fn quoted(value: &str) -> String {
    let escaped: String = value
        .chars()
        .filter(|letter| !letter.is_control())
        .flat_map(|letter| matches!(letter, '"' | '\\').then_some('\\').into_iter().chain([letter]))
        .collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts_and_a_key_without_one_is_true() {
        let answer = b"user.name\nSomebody\0user.name\nMe \"M\" \\ Myself\0user.email\nme@example.org\0commit.gpgsign\0";
        let found = HostGit::parse(answer);
        assert!(found.is_somebody() && found.signs);
        let text = found.config_file(NetworkMode::Allow, false, &FrameForge::default(), &[]);
        assert!(text.contains("\tname = \"Me \\\"M\\\" \\\\ Myself\"\n"), "{text}");
        assert_eq!(HostGit::parse(b""), HostGit::default());
        assert!(!HostGit::parse(b"user.name\nMe\0user.email\n \0tag.gpgsign\nfalse\0").is_somebody());
    }

    #[test]
    fn a_name_cannot_end_its_line() {
        let found = HostGit { name: Some("Me\n[core]\n\tsshCommand = x".to_owned()), ..HostGit::default() };
        let text = found.config_file(NetworkMode::Sealed, false, &FrameForge::default(), &[]);
        assert!(!text.lines().any(|line| line.trim() == "[core]"), "{text}");
    }

    #[test]
    fn git_obeys_what_stands_above_its_files() {
        let repository = tempfile::tempdir().expect("a folder");
        let git = |arguments: &[&str]| {
            let mut git = std::process::Command::new("git");
            git.current_dir(repository.path()).args(arguments).env_remove("GIT_DIR");
            // The file of a frame is none of this machine.
            let variables = environment(NetworkMode::Allow).into_iter();
            git.envs(variables.filter(|(name, _)| name != "GIT_CONFIG_SYSTEM")).output().expect("git runs")
        };
        assert!(git(&["init", "--quiet"]).status.success());
        for key in ["core.sharedRepository", "commit.gpgsign"] {
            let value = if key.starts_with("core") { "group" } else { "true" };
            assert!(git(&["config", "--local", key, value]).status.success());
        }
        let said = |key| String::from_utf8_lossy(&git(&["config", "--get", key]).stdout).trim().to_owned();
        assert_eq!(said("core.sharedRepository"), "umask");
        assert_eq!((said("commit.gpgsign").as_str(), said("tag.gpgsign").as_str()), ("false", "false"));
        // What it makes has no set-id bit.
        std::fs::write(repository.path().join("a"), "1").expect("a file");
        let written = git(&["hash-object", "-w", "a"]);
        let id = String::from_utf8_lossy(&written.stdout).trim().to_owned();
        let (folder, _) = id.split_at(2);
        let made = std::fs::metadata(repository.path().join(".git/objects").join(folder)).expect("a folder");
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&made) & 0o6000, 0, "{written:?}");
    }

    #[test]
    fn what_is_asked_of_a_forge_goes_to_the_broker() {
        let forges: Vec<ForgeHost> =
            ForgeHost::known().chain(ForgeHost::parse("http://git.test:3000")).collect();
        let of = |network, repository: Option<&str>| {
            let repository = repository.map(|text| Repository::parse(text).expect("a repository"));
            let forge = FrameForge { repository, ..FrameForge::default() };
            HostGit::default().config_file(network, false, &forge, &forges)
        };
        let listed = of(NetworkMode::Allow, None);
        for line in [
            "[url \"http://127.0.0.1:8118/git/codeberg.org/\"]\n\tinsteadOf = https://codeberg.org/\n",
            "\tinsteadOf = git@codeberg.org:\n\tinsteadOf = ssh://git@codeberg.org/\n",
            "[url \"http://127.0.0.1:8118/git/git.test:3000/\"]\n\tinsteadOf = http://git.test:3000/\n\tinsteadOf = git@git.test:\n",
        ] {
            assert!(listed.contains(line), "{line}: {listed}");
        }
        assert!(!of(NetworkMode::Open, None).contains("insteadOf"), "it has a network of its own");
        let open = of(NetworkMode::Open, Some("github.com/me/blog"));
        assert!(open.contains("\tinsteadOf = https://github.com/me/blog\n"), "{open}");
        assert_eq!(open.matches("[url ").count(), 1, "{open}");
        let has_ssh = |network| environment(network).iter().any(|(name, _)| name == "GIT_SSH_COMMAND");
        assert!(has_ssh(NetworkMode::Sealed) && !has_ssh(NetworkMode::Open));
    }

    #[test]
    fn an_origin_is_known_by_any_of_its_addresses() {
        let of = |url: &str| origin(&format!("[core]\n\tbare = false\n[remote \"origin\"]\n\turl = {url}\n"));
        let blog = Repository::parse("github.com/me/blog").ok();
        assert_eq!(of("git@github.com:me/blog.git"), blog);
        assert_eq!(of("https://github.com/me/blog"), blog);
        assert_eq!(of("/srv/git/blog.git"), None);
        assert_eq!(origin("[remote \"upstream\"]\n\turl = https://github.com/me/blog\n"), None);
    }
}
