//! What mimir left outside of its home: configuration files, a unit of systemd, the program.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::files;
use super::item::{Action, Item, Kind, Place, Survey};
use crate::model::quantity::size;
use crate::runtime::build::LABEL_PROJECT;

/// What setup writes for a user without a store, byte for byte.
const STORAGE: &str = "[storage]\ndriver = \"overlay\"\n";
/// How the system's files begin that setup writes.
const WRITTEN: &str = "# Written by mimir";
const ENGINE_CONF: &str = "containers/containers.conf.d/50-mimir.conf";
const SYSCTL_CONF: &str = "sysctl.d/50-mimir.conf";
/// The ports that setup keeps from outgoing connections.
const PORTS: &str = "33000-34000";
const UNIT: &str = ".config/systemd/user/mimir.service";
const UNIT_LINK: &str = ".config/systemd/user/default.target.wants/mimir.service";
/// Below `~/.local/share`, where the archive is unpacked.
const SHARED: &[&str] = &[
    "bash-completion/completions/mimir",
    "zsh/site-functions/_mimir",
    "fish/vendor_completions.d/mimir.fish",
    "systemd/user/mimir.service",
];
/// Temporary files of builds that are older than this belong to none that runs.
const LONGEST_BUILD: Duration = Duration::from_secs(2 * 3600);

/// The unit with which systemd starts the gateway. Before anything else: it would start another.
pub(super) fn unit(place: &Place, survey: &mut Survey) {
    let (Some(file), Some(link)) = (place.of_user(UNIT), place.of_user(UNIT_LINK)) else { return };
    let text = read(&file);
    let is_ours = text.as_ref().is_some_and(|text| {
        text.lines().any(|line| line.starts_with("ExecStart=") && line.ends_with("mimir serve"))
    });
    let is_enabled = fs::symlink_metadata(&link).is_ok();
    let named = text.iter().flat_map(|text| text.lines());
    let named = named.filter_map(|line| line.strip_prefix("Environment=MIMIR_HOME=")).next_back();
    let serves_us =
        named.map_or_else(|| is_usual(place), |home| Path::new(home.trim_matches('"')) == place.home);
    if (is_ours || is_enabled) && !serves_us {
        survey.stays.push(format!("{}: it serves another home", file.display()));
    } else if text.is_some() && !is_ours {
        survey.stays.push(format!("{}: it runs something else than `mimir serve`", file.display()));
    } else if is_ours || is_enabled {
        let shown = if is_ours { &file } else { &link };
        let (what, size) = (shown.display().to_string(), files::size_at(shown));
        let action = Action::Unit { file: is_ours.then_some(file), link };
        survey.items.push(Item::new(Kind::Unit, what, size, action));
    }
}

/// Whether this home is the one that is used where nothing names another.
fn is_usual(place: &Place) -> bool {
    place.of_user(".mimir").is_some_and(|usual| fs::canonicalize(&usual).unwrap_or(usual) == place.home)
}

/// Whether the folder that is used where nothing names another is a home.
fn usual_home_is_used(place: &Place) -> bool {
    place.of_user(".mimir").is_some_and(|usual| files::has_mark(&usual))
}

/// Whether another home is the one that is used where nothing names one.
pub(super) fn is_another_usual(place: &Place) -> bool {
    !is_usual(place) && usual_home_is_used(place)
}

/// Ends what the unit runs and forgets it. Without systemd only the files go.
pub(super) fn remove_unit(place: &Place, file: Option<&Path>, link: &Path) -> Result<(), String> {
    systemctl(place, &["disable", "--now", "mimir.service"]);
    for path in [Some(link), file].into_iter().flatten() {
        files::remove(path).map_err(|error| error.to_string())?;
    }
    systemctl(place, &["daemon-reload"]);
    Ok(())
}

/// Whether it works is seen by what is left.
fn systemctl(place: &Place, arguments: &[&str]) {
    if !place.systemd {
        return;
    }
    let mut command = Command::new("systemctl");
    let command = command.arg("--user").args(arguments).stdin(std::process::Stdio::null());
    let _ = command.output();
}

/// Files beside the home. `uses_store` says that something stays in the user's image store, `others` that other homes
/// have containers here.
pub(super) fn files(place: &Place, uses_store: bool, others: bool, survey: &mut Survey) {
    storage(place, uses_store, survey);
    for name in [ENGINE_CONF, SYSCTL_CONF] {
        let file = place.etc.join(name);
        let Some(text) = read(&file) else { continue };
        let shown = file.display();
        if !text.starts_with(WRITTEN) {
            survey.stays.push(format!("{shown}: mimir did not write it"));
        } else if others {
            survey.stays.push(format!("{shown}: other homes of mimir have frames on this machine"));
        } else if another_user_has_a_home(place) {
            survey.stays.push(format!("{shown}: another user of this machine has a home of mimir"));
        } else if place.is_root() && is_usual(place) {
            let item = Item::file(Kind::Config, file.clone());
            let action = if name == SYSCTL_CONF { Action::Ports { file } } else { item.action.clone() };
            survey.items.push(Item { action, ..item });
        } else {
            survey.by_hand.push(format!("sudo rm {shown}   # if nobody else here runs mimir"));
        }
    }
    scratch(place, survey);
    shared(place, survey);
    program(place, survey);
}

/// What setup changed for other programs too, and what only who works on mimir has: named, not taken.
fn shared(place: &Place, survey: &mut Survey) {
    let another_is_usual = is_another_usual(place);
    if let Some(user) = user_name(place).filter(|_| !place.is_root()) {
        if place.linger.join(&user).exists() && !another_is_usual {
            survey
                .by_hand
                .push(format!("sudo loginctl disable-linger {user}   # if nothing else of yours needs it"));
        }
        let ids = place.etc.join("subuid");
        let is_lent = |line: &str| line.split(':').next() == Some(user.as_str());
        if fs::read_to_string(&ids).unwrap_or_default().lines().any(is_lent) {
            survey.stays.push(format!(
                "the ids for {user} in {} and subgid: all containers without root use them",
                ids.display()
            ));
        }
    }
    if place.etc.join("debian_version").is_file() {
        survey
            .stays
            .push("Debian's packages that `mimir setup` asks for: other programs may use them".into());
    }
    if let Some(cache) = place.cache.as_deref().filter(|cache| files::is_folder(cache)) {
        survey.stays.push(format!(
            "{}: {} that scripts of mimir's repository keep between runs",
            cache.display(),
            size(files::size_at(cache))
        ));
    }
}

/// Our user's name.
fn user_name(place: &Place) -> Option<String> {
    let users = fs::read_to_string(place.etc.join("passwd")).unwrap_or_default();
    let uid = place.uid.to_string();
    let line = users.lines().find(|line| line.split(':').nth(2) == Some(uid.as_str()))?;
    line.split(':').next().map(str::to_owned)
}

/// Whether somebody else on this machine has a home where it usually is; what is the system's is theirs too.
fn another_user_has_a_home(place: &Place) -> bool {
    let users = fs::read_to_string(place.etc.join("passwd")).unwrap_or_default();
    let homes = users.lines().filter_map(|line| line.split(':').nth(5));
    let mut homes = homes.map(|home| Path::new(home).join(".mimir"));
    homes.any(|home| home != place.home && files::has_mark(&home))
}

fn storage(place: &Place, uses_store: bool, survey: &mut Survey) {
    let Some(file) = place.of_user(".config/containers/storage.conf").filter(|_| !place.is_root()) else {
        return;
    };
    match read(&file) {
        Some(text) if text == STORAGE && uses_store => survey.stays.push(format!(
            "{}: other images or containers of yours are in the store that it describes",
            file.display()
        )),
        Some(text) if text == STORAGE => survey.items.push(Item::file(Kind::Config, file)),
        _ => {}
    }
}

/// What builds left that were killed.
fn scratch(place: &Place, survey: &mut Survey) {
    let is_left = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Ok(found) = fs::symlink_metadata(path) else { return false };
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(place.clock.now_ms());
        let is_old = found.modified().is_ok_and(|at| at + LONGEST_BUILD < now);
        let is_called_so = name.starts_with("mimir-build-") && found.is_dir();
        is_called_so && found.uid() == place.uid && is_old && is_of_a_build(path)
    };
    for folder in files::entries(&place.scratch).into_iter().filter(is_left) {
        let size = files::size_at(&folder);
        survey.items.push(Item::new(Kind::Scratch, folder.display().to_string(), size, Action::Tree(folder)));
    }
}

/// Whether a folder holds what a build writes there first; one without anything may go as well.
fn is_of_a_build(folder: &Path) -> bool {
    let recipe = read(&folder.join("Containerfile")).unwrap_or_default();
    folder.join("Containerfile.frame").is_file()
        || recipe.contains(&format!("LABEL {LABEL_PROJECT}="))
        || files::entries(folder).is_empty()
}

/// The program: in the user's own folder it goes; where a package put it, the package goes.
fn program(place: &Place, survey: &mut Survey) {
    let own = place.of_user(".local/bin/mimir");
    if let Some(own) = own.filter(|own| fs::symlink_metadata(own).is_ok()) {
        let is_link = fs::symlink_metadata(&own).is_ok_and(|found| found.is_symlink());
        let leads_to_us = fs::read_link(&own).is_ok_and(|to| to.file_name() == own.file_name());
        let inode = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
        let runs = place.program.as_deref().and_then(inode);
        if is_another_usual(place) {
            survey.stays.push(format!("{}: the home ~/.mimir uses it", own.display()));
        } else if (is_link && leads_to_us) || (runs.is_some() && runs == inode(&own)) {
            survey.items.push(Item::file(Kind::Program, own));
            survey.items.extend(beside_the_program(place));
        } else {
            survey.stays.push(format!("{}: it is not the program that runs here", own.display()));
        }
    }
    match &place.program {
        Some(program) if program == Path::new("/usr/bin/mimir") => {
            let image = if Path::new("/usr/share/mimir").is_dir() { " mimir-image" } else { "" };
            survey.by_hand.push(format!("sudo apt remove mimir{image}"));
        }
        Some(program) if place.of_user(".local/bin/mimir").is_none_or(|own| own != *program) => {
            survey.stays.push(format!("this program: {}", program.display()));
        }
        _ => {}
    }
}

/// What the archives put beside the program: completions, manual pages, a unit, licences, the frame image.
fn beside_the_program(place: &Place) -> Vec<Item> {
    let Some(share) = place.of_user(".local/share") else { return Vec::new() };
    let pages = files::entries(&share.join("man/man1")).into_iter().filter(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.strip_prefix("mimir").is_some_and(|rest| rest.starts_with(['.', '-'])) && name.contains(".1")
    });
    let images = files::entries(&share.join("mimir")).into_iter().filter(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with("frame-") && (name.ends_with(".tar.zst") || name.ends_with(".tar"))
    });
    let named = SHARED.iter().map(|name| share.join(name)).filter(|path| path.is_file());
    let mut items: Vec<Item> =
        named.chain(pages).chain(images).map(|path| Item::file(Kind::Program, path)).collect();
    for (folder, mark) in [("doc/mimir", "LICENSE-MIT"), ("doc/mimir-image", "copyright")] {
        let folder = share.join(folder);
        if folder.join(mark).is_file() {
            let size = files::size_at(&folder);
            items.push(Item::new(Kind::Program, folder.display().to_string(), size, Action::Tree(folder)));
        }
    }
    items
}

/// Takes the ports out of the kernel's list again, as they are at this moment, and removes the file.
pub(super) fn give_ports_back(file: &Path, list: &Path) -> std::io::Result<()> {
    if let Ok(now) = fs::read_to_string(list) {
        let kept: Vec<&str> = now.trim().split(',').filter(|range| *range != PORTS).collect();
        if kept.join(",") != now.trim() {
            // Inside a container even root may not; it is so until the next start then.
            let _ = fs::write(list, format!("{}\n", kept.join(",")));
        }
    }
    files::remove(file)
}

/// The text of a plain file.
fn read(file: &Path) -> Option<String> {
    fs::symlink_metadata(file).ok().filter(fs::Metadata::is_file)?;
    fs::read_to_string(file).ok()
}
