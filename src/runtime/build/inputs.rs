//! What the frame image is made from. This program carries all of it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// One file of the build.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input {
    /// Below the build context, as in the repository.
    pub(super) path: &'static str,
    contents: &'static str,
    mode: u32,
}

macro_rules! input {
    ($path:literal, $mode:literal) => {
        Input {
            path: $path,
            contents: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)),
            mode: $mode,
        }
    };
}

/// Makes a base where no registry is reachable.
pub(super) const BASE_SCRIPT: &str = "scripts/base-image";
pub(super) const CONTAINERFILE: &str = "Containerfile.frame";

pub(super) const INPUTS: &[Input] = &[
    input!("Containerfile.frame", 0o644),
    input!("images/frame/bashrc", 0o644),
    input!("images/frame/checksums", 0o644),
    input!("images/frame/fetch", 0o755),
    input!("images/frame/leave-projects-out", 0o755),
    input!("images/frame/managed.json", 0o644),
    input!("images/frame/mimir-agent-window", 0o755),
    input!("images/frame/mimir-preview", 0o755),
    input!("images/frame/mimir-probe", 0o755),
    input!("images/frame/mimir-run", 0o755),
    input!("images/frame/mimir-sh", 0o755),
    input!("images/frame/mimir-supervisor", 0o755),
    input!("images/frame/mimir-trusted", 0o755),
    input!("images/frame/tmux.conf", 0o644),
    input!("scripts/base-image", 0o755),
];

/// Changes with every byte that goes into the frame image; 64 hex digits.
#[must_use]
pub fn inputs_hash() -> String {
    let mut hash = Sha256::new();
    for input in INPUTS {
        hash.update(format!("{} {:o} {}\n", input.path, input.mode, input.contents.len()));
        hash.update(input.contents);
    }
    hex::encode(hash.finalize())
}

/// How many steps the engine will count.
pub(super) fn steps() -> u32 {
    let text = INPUTS.iter().find(|input| input.path == CONTAINERFILE).map_or("", |input| input.contents);
    let words = [
        "FROM ",
        "RUN ",
        "COPY ",
        "ARG ",
        "ENV ",
        "USER ",
        "WORKDIR ",
        "STOPSIGNAL ",
        "ENTRYPOINT ",
        "LABEL ",
    ];
    // Arguments before the first stage belong to none.
    let lines = text.lines().skip_while(|line| !line.starts_with("FROM "));
    let count = lines.filter(|line| words.iter().any(|word| line.starts_with(word))).count();
    u32::try_from(count).unwrap_or(0)
}

/// The last lines of the frame's recipe that begin with these words, in their order.
pub(super) fn lines_of(words: &'static [&'static str]) -> impl Iterator<Item = &'static str> {
    let text = INPUTS.iter().find(|input| input.path == CONTAINERFILE).map_or("", |input| input.contents);
    words.iter().filter_map(|word| text.lines().rfind(|line| line.starts_with(word)))
}

/// Commands that only this recipe has, one for each of its stages at least; engines keep them with what they made.
const OUR_COMMANDS: &[&str] = &[
    "apt-get install -y --no-install-recommends npm ca-certificates",
    "npm_config_update_notifier=false npm_config_audit=false npm_config_fund=false",
    "/fetch/fetch ",
    "bash ca-certificates catatonit curl file g++ gcc git jq",
];

/// Whether an image that was made by these commands is a part of a frame image's build.
#[must_use]
pub fn is_of_our_recipe(made_by: &[String]) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    made_by.iter().any(|command| {
        let command = words(command);
        OUR_COMMANDS.iter().any(|ours| command.contains(ours.trim_end()))
    })
}

/// Writes everything below `folder`, which becomes the build context.
pub(super) fn unpack(folder: &Path) -> io::Result<()> {
    for input in INPUTS {
        let file = folder.join(input.path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&file, input.contents)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(input.mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_image_is_carried_with_its_mode() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut wanted = vec![CONTAINERFILE.to_owned(), BASE_SCRIPT.to_owned()];
        for entry in fs::read_dir(root.join("images/frame")).unwrap() {
            wanted.push(format!("images/frame/{}", entry.unwrap().file_name().to_string_lossy()));
        }
        wanted.sort();
        let mut carried: Vec<_> = INPUTS.iter().map(|input| input.path.to_owned()).collect();
        carried.sort();
        assert_eq!(carried, wanted);
        for input in INPUTS {
            let mode = root.join(input.path).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o111, input.mode & 0o111, "{}", input.path);
        }
    }

    #[test]
    fn the_context_is_written_as_it_is_in_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        unpack(folder.path()).unwrap();
        for input in INPUTS {
            let written = fs::read_to_string(folder.path().join(input.path)).unwrap();
            assert_eq!(written, input.contents, "{}", input.path);
        }
        let mode = folder.path().join(BASE_SCRIPT).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn a_stage_is_known_by_commands_that_stand_in_the_recipe() {
        let text = lines_of_recipe();
        for command in OUR_COMMANDS {
            assert!(text.contains(command.trim_end()), "{command}");
            assert!(is_of_our_recipe(&["ADD x".into(), format!("/bin/sh -c {command}  && y")]), "{command}");
        }
        assert!(!is_of_our_recipe(&["/bin/sh -c apt-get install -y npm".into()]));
    }

    fn lines_of_recipe() -> String {
        let text = INPUTS.iter().find(|input| input.path == CONTAINERFILE).map_or("", |input| input.contents);
        text.replace('\\', " ").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_hash_is_the_same_every_time() {
        assert_eq!(inputs_hash(), inputs_hash());
        assert_eq!(inputs_hash().len(), 64);
        assert!(steps() > 20, "{}", steps());
    }
}
