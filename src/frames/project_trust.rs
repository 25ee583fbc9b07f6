//! What in a project's folder its agent would obey, and whether somebody said yes to exactly that.
//!
//! A yes is bound to the content of every file that opencode reads as configuration, of everything in `.opencode`, and
//! of every file of the project that they name (a plugin in `scripts/`, the program of an MCP server). What those
//! files load in turn is the project's code like any other; it is not followed.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::project_bound::{Bound, without_schema};
use crate::model::container::inside;
use crate::model::trust::{AgentSettings, Trust, TrustItem, TrustKind, TrustedFiles};
use crate::store::trusted_folders::TrustedFolder;

/// The project's own configuration of opencode.
const SETTINGS: [&str; 4] = ["opencode.json", "opencode.jsonc", "tui.json", "tui.jsonc"];
/// The folder of everything else.
const FOLDER: &str = ".opencode";
/// In it: opencode writes it at every start.
const IGNORED: &str = ".gitignore";
/// In it: packages; they are many, and are one thing here.
const PACKAGES: &str = "node_modules";
/// In it: what agents write themselves, as Markdown; nothing obeys it.
const PLANS: &str = "plans";
/// More than this is not looked through.
const MOST_FILES: usize = 40_000;
const MOST_BYTES: u64 = 512 << 20;
const MOST_SETTINGS_BYTES: u64 = 1 << 20;
const TOO_LARGE: &str = "it is larger than 1 MiB";
/// So much of a file is in memory at a time.
const PIECE: usize = 64 << 10;

/// What is in a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What would be obeyed.
    pub items: Vec<TrustItem>,
    /// What a yes would be bound to.
    pub files: TrustedFiles,
    /// The same, file by file, for the frame itself to compare.
    pub bound: Bound,
    /// Why nobody can say yes to it, if so.
    pub obstacles: Vec<String>,
}

impl Found {
    /// One hash of all of it.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for (path, content) in &self.files {
            // Lengths first: no two lists give the same text.
            hash.update(format!("{}:{path}{}:{content}", path.len(), content.len()));
        }
        hex::encode(hash.finalize())
    }

    /// Whether something in it would run by itself.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.items.iter().any(|item| item.kind.runs()) || !self.obstacles.is_empty()
    }

    /// What that is, given what somebody said yes to in this folder.
    #[must_use]
    pub fn judge(&self, trusted: Option<&TrustedFolder>) -> Trust {
        if self.files.is_empty() && self.obstacles.is_empty() {
            return Trust::Nothing;
        }
        match trusted {
            None => Trust::Untrusted,
            Some(trusted) if self.obstacles.is_empty() && trusted.hash == self.hash() => Trust::Trusted,
            Some(_) => Trust::Changed,
        }
    }
}

/// Looks through a project. Reads files, so not on a thread that others wait for.
#[must_use]
pub fn look(workspace: &Path) -> Found {
    let root = fs::canonicalize(workspace).unwrap_or_else(|_| workspace.to_owned());
    let mut look = Look { root, found: Found::default(), files: 0, bytes: 0, named: VecDeque::new() };
    for name in SETTINGS {
        look.settings(Path::new(name));
    }
    look.agent_folder();
    look.follow_names();
    look.found.items.sort();
    look.found.items.dedup();
    look.found
}

struct Look {
    root: PathBuf,
    found: Found,
    files: usize,
    bytes: u64,
    /// Words of settings, each with the folder of its file.
    named: VecDeque<(PathBuf, Named, String)>,
}

/// How a word stands in the settings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    /// Among the words of something that is started; data of a program's is none of it.
    Start,
    /// As a file whose text belongs to the settings.
    File,
}

impl Look {
    fn obstacle(&mut self, path: &Path, why: impl std::fmt::Display) {
        let text = format!("{}: {why}", path.display());
        if !self.found.obstacles.contains(&text) {
            self.found.obstacles.push(text);
        }
    }

    fn item(&mut self, kind: TrustKind, path: &Path, what: &str) {
        self.found.items.push(TrustItem::new(kind, &path.to_string_lossy(), what));
    }

    fn settings(&mut self, path: &Path) {
        let whole = self.root.join(path);
        match fs::symlink_metadata(&whole) {
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Ok(there) if there.is_file() && there.len() <= MOST_SETTINGS_BYTES => {}
            Ok(there) if there.is_file() => return self.obstacle(path, TOO_LARGE),
            Ok(_) => return self.obstacle(path, "it is a link, or no file"),
            Err(error) => return self.obstacle(path, error),
        }
        let bytes = match self.read_settings(path) {
            Ok(bytes) => bytes,
            Err(why) => return self.obstacle(path, why),
        };
        let name = path.to_string_lossy().into_owned();
        self.found.bound.files.remove(&name);
        self.found.bound.settings.insert(name.clone(), hex::encode(Sha256::digest(without_schema(&bytes))));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match AgentSettings::read(&name, &text) {
            Ok(settings) => {
                // Bound to what it says: opencode adds the place of its schema to a file that lacks it.
                let says = hex::encode(Sha256::digest(settings.says.as_bytes()));
                self.found.files.insert(name, says);
                self.found.items.extend(settings.items);
                let base = path.parent().unwrap_or(Path::new("")).to_owned();
                let name = |of: Named| {
                    let base = base.clone();
                    move |word| (base.clone(), of, word)
                };
                self.named.extend(settings.starts.into_iter().map(name(Named::Start)));
                self.named.extend(settings.takes_in.into_iter().map(name(Named::File)));
            }
            Err(why) => self.obstacle(path, format!("it cannot be read: {why}")),
        }
    }

    /// Binds a yes to the content of a file from here on. Nothing of it is kept: it may be as large as all of them.
    fn read(&mut self, path: &Path) -> Result<(), String> {
        self.read_to(path, |_| Ok(()))
    }

    /// The same for a file of settings, whose content is wanted.
    fn read_settings(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let mut content = Vec::new();
        self.read_to(path, |piece| {
            content.extend_from_slice(piece);
            // It may have grown since its size was asked.
            if content.len() as u64 > MOST_SETTINGS_BYTES { Err(TOO_LARGE.to_owned()) } else { Ok(()) }
        })?;
        Ok(content)
    }

    fn read_to(
        &mut self,
        path: &Path,
        mut takes: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let file = open(&self.root.join(path)).map_err(|error| error.to_string())?;
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        self.count(length)?;
        let mut file = file.take(MOST_BYTES);
        // One byte more than there is: then the end is seen in the second piece.
        let room = usize::try_from(length).unwrap_or(PIECE).saturating_add(1).min(PIECE);
        let (mut piece, mut hash) = (vec![0; room], Sha256::new());
        loop {
            match file.read(&mut piece) {
                Ok(0) => break,
                Ok(n) => {
                    hash.update(&piece[..n]);
                    takes(&piece[..n])?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        let (name, hash) = (path.to_string_lossy().into_owned(), hex::encode(hash.finalize()));
        self.found.bound.files.insert(name.clone(), hash.clone());
        self.found.files.insert(name, hash);
        Ok(())
    }

    fn count(&mut self, bytes: u64) -> Result<(), String> {
        self.files += 1;
        self.bytes += bytes;
        if self.files > MOST_FILES || self.bytes > MOST_BYTES {
            return Err("there is more than can be looked through".to_owned());
        }
        Ok(())
    }

    fn agent_folder(&mut self) {
        let folder = Path::new(FOLDER);
        match fs::symlink_metadata(self.root.join(folder)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Ok(there) if there.is_dir() => {
                self.folder(folder);
                for name in SETTINGS {
                    self.settings(&folder.join(name));
                }
            }
            Ok(_) => self.obstacle(folder, "it is a link, or no folder"),
            Err(error) => self.obstacle(folder, error),
        }
    }

    fn folder(&mut self, folder: &Path) {
        let mut entries: Vec<PathBuf> = match fs::read_dir(self.root.join(folder)) {
            Ok(entries) => entries.flatten().map(|entry| folder.join(entry.file_name())).collect(),
            Err(error) => return self.obstacle(folder, error),
        };
        entries.sort();
        for path in entries {
            match fs::symlink_metadata(self.root.join(&path)).map(|there| there.file_type()) {
                Ok(kind) if kind.is_dir() && path.ends_with(PACKAGES) => self.packages(&path),
                Ok(kind) if kind.is_dir() => self.folder(&path),
                Ok(kind) if kind.is_file() => self.file(&path),
                Ok(kind) if kind.is_symlink() => match self.link(&path) {
                    Ok(target) => drop(self.found.files.insert(path.to_string_lossy().into_owned(), target)),
                    Err(why) => self.obstacle(&path, why),
                },
                Ok(_) => self.obstacle(&path, "it is neither a file nor a folder"),
                Err(error) => self.obstacle(&path, error),
            }
        }
    }

    fn file(&mut self, path: &Path) {
        if is_unbound(path) {
            return;
        }
        if let Err(why) = self.read(path) {
            return self.obstacle(path, why);
        }
        let Some(Component::Normal(place)) =
            path.strip_prefix(FOLDER).ok().and_then(|p| p.components().next())
        else {
            return;
        };
        let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        let script = matches!(extension.as_str(), "js" | "ts" | "mjs" | "cjs" | "mts" | "cts");
        let text = extension == "md";
        let (kind, what) = match &*place.to_string_lossy() {
            "plugin" | "plugins" if script => (TrustKind::Plugin, "runs in the agent at its start"),
            "tool" | "tools" if script => {
                (TrustKind::Tool, "runs in the agent at its start, and when the model calls it")
            }
            "command" | "commands" if text => (TrustKind::Command, "a ready-made prompt"),
            "agent" | "agents" | "mode" | "modes" if text => {
                (TrustKind::Agent, "an agent with rights of its own")
            }
            "skill" | "skills" if path.ends_with("SKILL.md") => {
                (TrustKind::Skill, "a text that the model may read")
            }
            _ => return,
        };
        self.item(kind, path, what);
    }

    /// Packages that plugins may load: one hash of all of them.
    fn packages(&mut self, folder: &Path) {
        let mut inner = Look {
            root: self.root.clone(),
            found: Found::default(),
            files: self.files,
            bytes: self.bytes,
            named: VecDeque::new(),
        };
        let mut entries = vec![folder.to_owned()];
        while let Some(next) = entries.pop() {
            let list = match fs::read_dir(self.root.join(&next)) {
                Ok(list) => list,
                Err(error) => return self.obstacle(&next, error),
            };
            for entry in list.flatten() {
                let path = next.join(entry.file_name());
                let done = match entry.file_type() {
                    Ok(kind) if kind.is_dir() => {
                        entries.push(path.clone());
                        Ok(())
                    }
                    Ok(kind) if kind.is_file() => inner.read(&path),
                    Ok(kind) if kind.is_symlink() => inner.link(&path).map(|target| {
                        inner.found.files.insert(path.to_string_lossy().into_owned(), target);
                    }),
                    Ok(_) => Err("it is neither a file nor a folder".to_owned()),
                    Err(error) => Err(error.to_string()),
                };
                if let Err(why) = done {
                    return self.obstacle(&path, why);
                }
            }
        }
        (self.files, self.bytes) = (inner.files, inner.bytes);
        self.found.bound.take_in(&mut inner.found.bound);
        if !folder.starts_with(FOLDER) {
            self.found.bound.folders.insert(folder.to_string_lossy().into_owned());
        }
        if !inner.found.files.is_empty() {
            let what = format!("{} files of packages that plugins may load", inner.found.files.len());
            self.found.files.insert(folder.to_string_lossy().into_owned(), inner.found.hash());
            self.item(TrustKind::Files, folder, &what);
        }
    }

    /// Where a link leads; only within the folder, where the content is known anyway.
    fn link(&mut self, path: &Path) -> Result<String, String> {
        self.count(0)?;
        let target = fs::read_link(self.root.join(path)).map_err(|error| error.to_string())?;
        let real = fs::canonicalize(self.root.join(path))
            .map_err(|_| "it is a link that leads nowhere".to_owned())?;
        if !real.starts_with(self.root.join(FOLDER)) {
            return Err(format!("it is a link out of {FOLDER}"));
        }
        // What the agent writes itself is bound to nothing, nor is a folder in which it does: by another name plans would be
        // agents and commands.
        let inside = real.strip_prefix(&self.root).unwrap_or(&real);
        let is_of_plans = inside.starts_with(Path::new(FOLDER).join(PLANS));
        if is_of_plans || is_unbound(inside) || inside == Path::new(FOLDER) {
            return Err("it is a link to what nobody says yes to".to_owned());
        }
        let (name, target) = (path.to_string_lossy().into_owned(), target.to_string_lossy().into_owned());
        self.found.bound.links.insert(name, target.clone());
        Ok(format!("-> {target}"))
    }

    /// Files of the project that its settings name belong to them.
    fn follow_names(&mut self) {
        while let Some((base, how, word)) = self.named.pop_front() {
            let word = word.trim_start_matches("file://").trim_start_matches("file:");
            if word.is_empty() || word.len() > 1024 || word.contains('\0') {
                continue;
            }
            let places = match word.strip_prefix(inside::WORKSPACE) {
                Some(rest) if rest.starts_with('/') => vec![PathBuf::from(rest.trim_start_matches('/'))],
                _ if word.starts_with('/') => continue,
                _ => vec![base.join(word), PathBuf::from(word)],
            };
            for place in places {
                self.named_file(&place, how, word.starts_with('.') || word.starts_with('/'));
            }
        }
    }

    fn named_file(&mut self, place: &Path, how: Named, may_be_package: bool) {
        let word = (place.to_string_lossy().into_owned(), how == Named::Start, may_be_package);
        self.found.bound.named.insert(word);
        let Ok(real) = fs::canonicalize(self.root.join(place)) else { return };
        let Ok(path) = real.strip_prefix(&self.root).map(Path::to_owned) else { return };
        let is_known = self.found.files.contains_key(&*path.to_string_lossy());
        if path.as_os_str().is_empty() || is_known || (path.starts_with(FOLDER) && !is_unbound(&path)) {
            return;
        }
        if real.is_file() {
            if how == Named::Start && !is_program(&real) {
                return;
            }
            match self.read(&path) {
                Ok(()) => self.item(TrustKind::Files, &path, "named in the settings"),
                Err(why) => self.obstacle(&path, why),
            }
        } else if may_be_package && is_loadable(&real) {
            // A plugin may be a package, or a folder with an index.
            self.packages(&path);
        }
    }
}

/// Whether a folder can be loaded by its name.
fn is_loadable(folder: &Path) -> bool {
    let indices = ["js", "ts", "mjs", "cjs", "mts", "cts", "jsx", "tsx"].map(|end| format!("index.{end}"));
    folder.join("package.json").is_file() || indices.iter().any(|name| folder.join(name).is_file())
}

/// Endings of what interpreters run.
const PROGRAMS: [&str; 16] = [
    "js", "ts", "mjs", "cjs", "mts", "cts", "jsx", "tsx", "py", "sh", "bash", "rb", "pl", "php", "lua", "jar",
];

/// Whether a file is a program, by its name, its rights or its beginning.
fn is_program(path: &Path) -> bool {
    let by_name =
        path.extension().is_some_and(|end| PROGRAMS.iter().any(|known| end.eq_ignore_ascii_case(known)));
    let by_rights = || fs::metadata(path).is_ok_and(|there| there.permissions().mode() & 0o111 != 0);
    let by_beginning = || {
        let mut start = [0; 2];
        open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok_and(|()| start == *b"#!")
    };
    by_name || by_rights() || by_beginning()
}

fn is_plan(path: &Path) -> bool {
    path.starts_with(Path::new(FOLDER).join(PLANS)) && path.extension().is_some_and(|end| end == "md")
}

/// What a yes is not bound to, because agents write it at any time.
fn is_unbound(path: &Path) -> bool {
    let folder = Path::new(FOLDER);
    is_plan(path) || path == folder.join(PLANS) || path == folder.join(IGNORED)
}

/// A file that a stranger put there: no link at the end, no pipe that never answers.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::new(ErrorKind::InvalidInput, "it is no file"));
    }
    Ok(file)
}

/// What is left out of an untrusted project, in few words: files of settings, and folders of `.opencode`.
#[must_use]
pub fn in_short(found: &Found) -> Vec<String> {
    let mut short = BTreeSet::new();
    let named =
        found.items.iter().filter(|item| item.kind != TrustKind::Files).map(|item| item.path.as_str());
    let settings = found
        .files
        .keys()
        .map(String::as_str)
        .filter(|path| SETTINGS.iter().any(|name| path.ends_with(name)));
    for path in named.chain(settings) {
        let parts: Vec<&str> = path.split('/').take(2).collect();
        short.insert(parts.join("/"));
    }
    short.into_iter().collect()
}

#[cfg(test)]
#[path = "project_trust_tests.rs"]
mod tests;
