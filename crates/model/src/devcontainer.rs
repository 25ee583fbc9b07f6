//! The part of a project's devcontainer.json that a frame can do something with.
//!
//! A frame is made on its own image, so an image of somebody else's cannot be taken; but what the file asks for is
//! mostly tools and packages, and those can be. The format: <https://containers.dev/implementors/json_reference/>.

use jsonc_parser::ParseOptions;
use serde_json::Value;

use crate::kit::Kit;
use crate::shell::quoted;

/// Where the file may be, in a project's folder; the first that is there counts.
pub const PLACES: [&str; 2] = [".devcontainer/devcontainer.json", ".devcontainer.json"];

/// What every frame has already, by the names of features and of images.
const THERE: [&str; 12] = [
    "base",
    "base-debian",
    "base-ubuntu",
    "common-utils",
    "debian",
    "git",
    "javascript-node",
    "node",
    "python",
    "typescript-node",
    "ubuntu",
    "universal",
];
/// Features that are packages of Debian.
const PACKAGES: [(&str, &str); 5] = [
    ("ffmpeg-apt-get", "ffmpeg"),
    ("git-lfs", "git-lfs"),
    ("github-cli", "gh"),
    ("postgres-asdf", "postgresql-client"),
    ("sqlite", "sqlite3"),
];

/// What a devcontainer.json comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devcontainer {
    /// Tools by name.
    pub kits: Vec<Kit>,
    /// Debian's packages.
    pub packages: Vec<String>,
    /// Variables for every program in the frame.
    pub env: Vec<(String, String)>,
    /// What is to run once in a new frame, as shell commands.
    pub once: Vec<String>,
    /// Ports that the project's servers listen on.
    pub ports: Vec<u16>,
    /// What was not taken, each with the reason.
    pub left_out: Vec<String>,
}

impl Devcontainer {
    /// Reads the file's text: JSON with comments.
    ///
    /// # Errors
    /// Why it cannot be read, with the place.
    pub fn read(text: &str) -> Result<Self, String> {
        let file = jsonc_parser::parse_to_serde_value::<Value>(text, &ParseOptions::default())
            .map_err(|error| error.to_string())?;
        if !file.is_object() {
            return Err("it is not an object in braces".to_owned());
        }
        let mut found = Self::default();
        found.take_image(&file);
        for (name, options) in file["features"].as_object().into_iter().flatten() {
            found.take_feature(name, options);
        }
        for key in ["containerEnv", "remoteEnv"] {
            for (name, value) in file[key].as_object().into_iter().flatten() {
                found.take_variable(name, value);
            }
        }
        for key in ["onCreateCommand", "postCreateCommand"] {
            found.once.extend(commands(&file[key]));
        }
        found.ports.extend(file["forwardPorts"].as_array().into_iter().flatten().filter_map(port));
        for key in ["dockerComposeFile", "mounts", "runArgs", "privileged", "capAdd", "initializeCommand"] {
            if !file[key].is_null() && file[key] != Value::Bool(false) {
                found.left_out.push(format!("{key}: a frame has no part of the machine but its folder"));
            }
        }
        found.kits.sort();
        found.kits.dedup();
        found.packages.sort();
        found.packages.dedup();
        Ok(found)
    }

    /// Its packages and variables as a project's Containerfile; none when there are neither.
    #[must_use]
    pub fn containerfile(&self) -> Option<String> {
        if self.packages.is_empty() && self.env.is_empty() {
            return None;
        }
        let mut lines = vec!["FROM mimir-frame".to_owned()];
        if !self.packages.is_empty() {
            lines.push(format!(
                "RUN apt-get update && apt-get install -y --no-install-recommends {} && rm -rf /var/lib/apt/lists/*",
                self.packages.join(" ")
            ));
        }
        lines.extend(self.env.iter().map(|(name, value)| format!("ENV {name}={}", in_recipe(value))));
        Some(lines.join("\n") + "\n")
    }

    fn take_image(&mut self, file: &Value) {
        if !file["build"].is_null() || !file["dockerFile"].is_null() {
            let why = "a frame has an image of its own; put the steps you need into .mimir/Containerfile";
            self.left_out.push(format!("its Dockerfile: {why}"));
        }
        let Some(image) = file["image"].as_str() else { return };
        let name = short(image);
        if let Some(kit) = kit(name) {
            self.kits.push(kit);
        } else if !THERE.contains(&name) {
            self.left_out.push(format!("its image {image}: a frame is made on its own"));
        }
    }

    fn take_feature(&mut self, feature: &str, options: &Value) {
        let name = short(feature);
        if let Some(kit) = kit(name) {
            self.kits.push(kit);
        } else if let Some((_, package)) = PACKAGES.iter().find(|(known, _)| *known == name) {
            self.packages.push((*package).to_owned());
        } else if name == "apt-packages" || name == "apt-get-packages" {
            let named = options["packages"].as_str().unwrap_or_default();
            for package in named.split([',', ' ']).filter(|package| !package.is_empty()) {
                if is_package(package) {
                    self.packages.push(package.to_owned());
                } else {
                    self.left_out.push(format!("package {package}: that is no name of one"));
                }
            }
        } else if !THERE.contains(&name) {
            self.left_out.push(format!("feature {feature}: not known here"));
        }
    }

    fn take_variable(&mut self, name: &str, value: &Value) {
        let is_name = !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_');
        match value.as_str() {
            // `${localEnv:TOKEN}` would bring something of this machine into an image.
            Some(text) if text.contains("${") => {
                self.left_out.push(format!("variable {name}: it is made from others"));
            }
            Some(text) if is_name && !text.contains(['\n', '\r']) => {
                self.env.push((name.to_owned(), text.to_owned()));
            }
            Some(_) => self.left_out.push(format!("variable {name:?}: it cannot be said in an image")),
            None => {}
        }
    }
}

/// `ghcr.io/devcontainers/features/go:1` is `go`.
fn short(reference: &str) -> &str {
    let last = reference.rsplit('/').next().unwrap_or_default();
    last.split([':', '@']).next().unwrap_or_default()
}

fn kit(name: &str) -> Option<Kit> {
    // Every frame has Python; the kit of that name is for C extensions.
    name.parse().ok().filter(|kit| *kit != Kit::Python)
}

/// As Debian's policy has it.
fn is_package(name: &str) -> bool {
    let fits = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || "+-.".contains(one);
    name.len() > 1 && name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.chars().all(fits)
}

/// A command is a text for the shell, a list of words, or several of these by name.
fn commands(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(words) => {
            let words: Vec<String> = words.iter().filter_map(Value::as_str).map(quoted).collect();
            if words.is_empty() { Vec::new() } else { vec![words.join(" ")] }
        }
        Value::Object(several) => several.values().flat_map(commands).collect(),
        _ => Vec::new(),
    }
}

/// `3000`, or `"db:5432"`, which is another container's.
fn port(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|port| *port != 0)
}

/// A value in quotes, as `ENV` of a Containerfile reads it.
fn in_recipe(value: &str) -> String {
    let mut text = String::from("\"");
    for one in value.chars() {
        if matches!(one, '"' | '\\' | '$') {
            text.push('\\');
        }
        text.push(one);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_frame_can_do_is_taken_and_the_rest_is_named() {
        let found = Devcontainer::read(
            r#"{
            // comments and trailing commas are usual here
            "image": "mcr.microsoft.com/devcontainers/rust:1-bookworm",
            "features": {
                "ghcr.io/devcontainers/features/go:1": {},
                "ghcr.io/devcontainers/features/node:1": {"version": "lts"},
                "ghcr.io/devcontainers/features/github-cli:1": {},
                "ghcr.io/rocker-org/devcontainer-features/apt-packages:1": {"packages": "libpq-dev,-oops"},
                "ghcr.io/devcontainers/features/docker-in-docker:2": {},
            },
            "containerEnv": {"TZ": "Europe/Berlin", "ODD": "a\"b$c\\"},
            "remoteEnv": {"TOKEN": "${localEnv:TOKEN}", "1X": "y"},
            "postCreateCommand": {"deps": ["npm", "ci"], "db": "make db && make seed"},
            "forwardPorts": [5173, "db:5432", 70000],
            "runArgs": ["--privileged"],
        }"#,
        )
        .expect("it reads");
        assert_eq!(found.kits, [Kit::Rust, Kit::Go]);
        assert_eq!(found.packages, ["gh", "libpq-dev"]);
        // The several ones run beside each other, so their order says nothing.
        assert_eq!(found.once, ["make db && make seed", "npm ci"]);
        assert_eq!(found.ports, [5173]);
        let recipe = found.containerfile().expect("packages");
        assert!(recipe.starts_with("FROM mimir-frame\nRUN apt-get"), "{recipe}");
        assert!(recipe.contains(r#"ENV TZ="Europe/Berlin""#), "{recipe}");
        assert!(recipe.contains(r#"ENV ODD="a\"b\$c\\""#), "{recipe}");
        assert!(!recipe.contains("TOKEN"), "{recipe}");
        let left = found.left_out.join("\n");
        for named in ["-oops", "docker-in-docker", "TOKEN", "1X", "runArgs"] {
            assert!(left.contains(named), "{named} in {left}");
        }
    }

    #[test]
    fn an_empty_one_asks_for_nothing_and_a_broken_one_says_where() {
        let plain = Devcontainer::read(r#"{"image": "mcr.microsoft.com/devcontainers/base:bookworm"}"#);
        assert_eq!(plain, Ok(Devcontainer::default()));
        assert_eq!(plain.expect("read").containerfile(), None);
        let foreign =
            Devcontainer::read(r#"{"image": "example.org/ours:3", "build": {}}"#).expect("it reads");
        assert_eq!(foreign.left_out.len(), 2);
        assert!(Devcontainer::read("[]").is_err());
        assert!(Devcontainer::read("{\"a\": ").expect_err("broken").contains("line 1"));
    }
}
