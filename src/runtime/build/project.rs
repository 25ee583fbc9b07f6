//! An image for one project: the frame image, and what the project needs besides.
//!
//! It is made from one recipe: tools by name ([`Kit`]), then what stands in the project's own Containerfile. The recipe
//! names the frame image by its id, so its hash tells whether anything has changed.

use sha2::{Digest, Sha256};

use super::{BuildError, inputs};
use crate::model::kit::Kit;

/// The name of projects' images; the tag is the project's, or the start of the hash of its recipe.
pub const PROJECT_IMAGE: &str = "localhost/mimir-project";

/// The label with the hash of a project image's recipe.
pub const LABEL_PROJECT: &str = "io.mimir.project";
/// The label with the tools that a project image was asked to have.
pub const LABEL_TOOLS: &str = "io.mimir.tools";

/// What a project needs besides the frame image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectRecipe {
    /// The image's tag.
    pub name: String,
    /// Tools by name.
    pub with: Vec<Kit>,
    /// The project's own Containerfile; it begins with `FROM mimir-frame`.
    pub containerfile: Option<String>,
}

impl ProjectRecipe {
    /// The whole recipe, on that frame image. `lends` says whether the host's certificates are lent to the build.
    pub(super) fn text(&self, frame_image: &str, lends: bool) -> Result<String, BuildError> {
        let mut lines = vec![format!("FROM {frame_image}"), "USER root".to_owned()];
        if lends {
            // An argument is in the environment of every step, and in no image.
            let names =
                ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "npm_config_cafile"];
            lines.extend(names.map(|name| format!("ARG {name}=/run/host-ca.crt")));
        }
        let packages: Vec<&str> = self.with.iter().flat_map(|kit| packages(*kit).split(' ')).collect();
        let packages: Vec<&str> = packages.into_iter().filter(|name| !name.is_empty()).collect();
        if !packages.is_empty() {
            lines.push(format!("RUN {}", install("", &packages.join(" "))));
        }
        lines.extend(self.with.iter().flat_map(|kit| steps(*kit)));
        if let Some(own) = &self.containerfile {
            lines.push(own_steps(own)?);
        }
        // Whatever was said in between, a frame begins like this.
        lines.extend(inputs::lines_of(&["USER ", "WORKDIR ", "ENTRYPOINT "]).map(str::to_owned));
        let hash = hex::encode(Sha256::digest(lines.join("\n")));
        let tools: Vec<String> = self.with.iter().map(ToString::to_string).collect();
        lines.push(format!("LABEL {LABEL_PROJECT}=\"{hash}\" {LABEL_TOOLS}=\"{}\"\n", tools.join(",")));
        Ok(lines.join("\n"))
    }

    /// What tells two recipes apart; 12 hex digits.
    pub(super) fn tag(text: &str) -> String {
        hex::encode(Sha256::digest(text))[..12].to_owned()
    }
}

/// Debian's packages.
fn packages(kit: Kit) -> &'static str {
    match kit {
        Kit::Rust | Kit::Go => "pkg-config libssl-dev",
        Kit::Java => "default-jdk-headless maven",
        Kit::Php => "composer php-cli php-curl php-mbstring php-xml php-zip",
        Kit::Ruby => "ruby ruby-dev bundler",
        Kit::Playwright => "chromium fonts-liberation",
        Kit::Python => "python3-dev pkg-config",
    }
}

/// What Debian has not, or not new enough.
fn steps(kit: Kit) -> Vec<String> {
    match kit {
        Kit::Rust => vec![
            "ENV RUSTUP_HOME=/usr/local/rustup".to_owned(),
            "RUN curl -fsS -o /tmp/rustup-init https://static.rust-lang.org/rustup/dist/$(uname -m)-unknown-linux-gnu/rustup-init \
             && chmod 755 /tmp/rustup-init \
             && CARGO_HOME=/usr/local/cargo /tmp/rustup-init -y -q --no-modify-path --profile minimal -c clippy -c rustfmt \
             && ln -s /usr/local/cargo/bin/* /usr/local/bin/ && rm /tmp/rustup-init"
                .to_owned(),
        ],
        Kit::Go => vec![format!(
            "RUN . /etc/os-release \
             && echo \"deb http://deb.debian.org/debian $VERSION_CODENAME-backports main\" >/etc/apt/sources.list.d/backports.list \
             && {}",
            install("-t $VERSION_CODENAME-backports", "golang-go")
        )],
        // Its own browsers come from hosts that are in no group.
        Kit::Playwright => vec![
            "ENV CHROME_BIN=/usr/bin/chromium PUPPETEER_EXECUTABLE_PATH=/usr/bin/chromium \
             PUPPETEER_SKIP_DOWNLOAD=1 PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1"
                .to_owned(),
        ],
        Kit::Java | Kit::Php | Kit::Ruby | Kit::Python => Vec::new(),
    }
}

fn install(options: &str, packages: &str) -> String {
    format!(
        "mkdir -p /usr/share/man/man1 && apt-get update && apt-get install -y --no-install-recommends {options} {packages} \
         && apt-get clean && rm -rf /var/lib/apt/lists/*"
    )
}

/// A project's own steps, without its first line. It must be built on the frame image, and in one stage: what came from
/// somewhere else would lack the agent.
fn own_steps(text: &str) -> Result<String, BuildError> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let is_from = |line: &str| words(line).first().is_some_and(|word| word.eq_ignore_ascii_case("from"));
    let mut lines =
        text.lines().skip_while(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    let first = lines.next().unwrap_or_default();
    let refuse = |why: &str| Err(BuildError::Containerfile { why: why.to_owned() });
    if !is_from(first) || words(first)[1..] != ["mimir-frame"] {
        return refuse("its first line must be `FROM mimir-frame`");
    }
    let rest = lines.collect::<Vec<_>>().join("\n");
    if rest.trim_end().ends_with('\\') {
        return refuse("its last line goes on, and nothing follows");
    }
    // As the engine reads it: a line may go on in the next one.
    let joined = rest.replace("\\\n", "");
    if joined.lines().any(is_from) {
        return refuse("it has more than one FROM; a project's image is built in one stage");
    }
    let asks_more =
        |word: &str| ["--network", "--security", "--mount"].iter().any(|more| word.starts_with(more));
    if joined.lines().any(|line| {
        words(line).iter().skip(1).take_while(|word| word.starts_with("--")).any(|word| asks_more(word))
    }) {
        return refuse(
            "RUN has no options there: its steps get the network of every build, and nothing of this machine",
        );
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(with: &[Kit], own: Option<&str>) -> Result<String, BuildError> {
        let own = own.map(str::to_owned);
        ProjectRecipe { name: "x".into(), with: with.to_vec(), containerfile: own }.text("77aa", true)
    }

    #[test]
    fn a_recipe_begins_with_the_frame_image_and_ends_as_one() {
        let text =
            recipe(&[Kit::Ruby, Kit::Rust], Some("# ours\n\nfrom mimir-frame\nRUN make tools\n")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["FROM 77aa", "USER root"]);
        assert!(text.contains("ruby ruby-dev bundler pkg-config libssl-dev"), "{text}");
        assert!(text.find("rustup-init") < text.find("RUN make tools"), "{text}");
        assert!(
            lines[lines.len() - 4..]
                .iter()
                .zip(["USER agent", "WORKDIR /workspace", "ENTRYPOINT [", "LABEL io"])
                .all(|(line, begins)| line.starts_with(begins)),
            "{text}"
        );
        assert_eq!(text.matches("FROM").count(), 1);
        assert_ne!(text, recipe(&[Kit::Ruby], None).unwrap());
    }

    #[test]
    fn a_containerfile_that_is_not_built_on_the_frame_image_is_refused() {
        for bad in [
            "",
            "RUN x",
            "FROM debian",
            "FROM mimir-frame:latest",
            "FROM mimir-frame\nfrom\tscratch",
            "FROM",
            "FROM mimir-frame\nFR\\\nOM debian",
            "FROM mimir-frame\nRUN x \\",
            "FROM mimir-frame\nRUN --network=host x",
        ] {
            assert!(matches!(recipe(&[], Some(bad)), Err(BuildError::Containerfile { .. })), "{bad:?}");
        }
    }
}
