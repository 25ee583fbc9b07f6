//! Takes away what mimir made on this machine: containers, images, its home, its files elsewhere.
//!
//! First everything is looked at, with its size ([`survey`]); what goes is then taken ([`take`]): what could start
//! again first, the marks of a home last. Each step may be repeated, so whoever was killed in the middle begins again.
//! No gateway, no database and no key is needed: containers are known by their labels and by the folders that they
//! mount, and projects' folders are never touched.
//!
//! Not here: ending the gateway and keeping another from starting, and asking whether it is meant (see `cli`).

mod engine;
mod files;
mod images;
mod item;
mod system;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

pub use item::{Item, Kind, Place, Survey};

use crate::runtime::build::{MADE, MadeList, read_made};
use item::Action;

/// Why nothing is removed at all.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Name the right folder.
    #[error("{0} does not look like a home of mimir's")]
    NotAHome(PathBuf),
    /// Repair the engine, or remove it.
    #[error("the container engine does not say what there is: {0}")]
    Engine(String),
}

/// Looks at everything and changes nothing.
///
/// # Errors
/// [`Refused`].
pub async fn survey(place: &Place) -> Result<Survey, Refused> {
    if !files::is_home(&place.home) {
        return Err(Refused::NotAHome(place.home.clone()));
    }
    let mut survey = Survey::default();
    system::unit(place, &mut survey);
    let (uses_store, others) = containers_and_images(place, &mut survey).await?;
    homes_files(place, &mut survey);
    system::files(place, uses_store, others, &mut survey);
    if !place.keep_data {
        if let Some(keyring) = &place.keyring
            && matches!(keyring.get(), Ok(Some(_)))
        {
            survey.items.push(Item::new(Kind::Keyring, "the database's key", 0, Action::Keyring));
        }
        // The last one: by what is in it a home is known that was half removed.
        if place.home.exists() {
            let what = place.home.display().to_string();
            survey.items.push(Item::new(Kind::Home, what, files::size(&place.home), Action::Home));
        }
    }
    Ok(survey)
}

/// Whether something stays in the image store, and whether other homes have containers here.
async fn containers_and_images(place: &Place, survey: &mut Survey) -> Result<(bool, bool), Refused> {
    let Some(podman) = &place.engine else {
        if !files::frames(&place.home).is_empty() {
            survey
                .stays
                .push("containers and images: Podman is not installed, so nobody can be asked".into());
        }
        return Ok((true, false));
    };
    podman.ensure_usable().await;
    let now_s = place.clock.now_ms() / 1000;
    let all = engine::containers(podman).await.map_err(Refused::Engine)?;
    let sorted = engine::sort(all, &place.home, i64::try_from(now_s).unwrap_or(0));
    let projects: BTreeSet<&str> = sorted.ours.iter().filter_map(engine::Container::workspace).collect();
    survey.stays.extend(projects.iter().map(|folder| format!("the project in {folder}")));
    survey.items.extend(sorted.ours.iter().map(|container| container.item(Kind::Container)));
    let images = engine::images(podman).await.map_err(Refused::Engine)?;
    let made = images::Made {
        // Nobody knows what stands in one that cannot be read: nothing is taken by its label then.
        noted: read_made(&place.home.join(MADE))
            .unwrap_or_else(|_| MadeList { is_whole: true, ..MadeList::default() }),
        are_others: sorted.others.iter().any(engine::Container::is_of_mimir)
            || system::is_another_usual(place),
    };
    // Others build here as well, and work for hours in what the engine does not know.
    let mine = images::ids_of_ours(&images, &made);
    let (left, foreign): (Vec<_>, Vec<_>) = sorted.left.into_iter().partition(|it| mine.contains(it.image()));
    survey.items.extend(left.iter().map(|container| container.item(Kind::Build)));
    let others: Vec<engine::Container> = sorted.others.into_iter().chain(foreign).collect();

    let used: BTreeMap<String, String> = others
        .iter()
        .map(|container| {
            let who = container.item(Kind::Container).what;
            let of = if container.is_of_mimir() { " of another home" } else { "" };
            (container.image().to_owned(), format!("container {who}{of}"))
        })
        .collect();
    let decision = images::decide(&images, &made, &used);
    let uses_store = !others.is_empty() || decision.goes.len() < images.len();
    survey.items.extend(decision.goes);
    survey.stays.extend(decision.stays);
    Ok((uses_store, others.iter().any(engine::Container::is_of_mimir)))
}

/// What lies in the home and in the folder of sockets, but for the home's own files.
fn homes_files(place: &Place, survey: &mut Survey) {
    for folder in runtime_folders(place) {
        let what = folder.display().to_string();
        survey.items.push(Item::new(Kind::Runtime, what, files::size_at(&folder), Action::Tree(folder)));
    }
    if place.keep_data {
        survey.stays.push(format!(
            "{}: database, conversations, backups, key, homes of frames",
            place.home.display()
        ));
        return;
    }
    for folder in files::frames(&place.home) {
        let what = folder.display().to_string();
        survey.items.push(Item::new(Kind::Frame, what, files::size_at(&folder), Action::Tree(folder)));
    }
    if !place.database.starts_with(&place.home) {
        let beside = |ending: &str| PathBuf::from(format!("{}{ending}", place.database.display()));
        let salt = crate::store::key::salt_file(&place.database);
        let files = [place.database.clone(), beside("-wal"), beside("-shm"), salt];
        survey.items.extend(files.into_iter().filter(|it| it.is_file()).map(|it| Item::file(Kind::Home, it)));
    }
    let strangers = files::strangers(&place.home);
    survey.stays.extend(strangers.iter().map(|path| format!("{}: mimir did not make it", path.display())));
}

/// Where this home's sockets are, with and without a session.
fn runtime_folders(place: &Place) -> Vec<PathBuf> {
    let name = place.runtime.file_name().unwrap_or_default();
    let of_tmp = Path::new("/tmp").join(format!("mimir-{}", place.uid)).join(name);
    let mut folders = vec![place.runtime.clone()];
    // Anybody can make a folder there.
    let is_own = std::fs::symlink_metadata(&of_tmp).is_ok_and(|found| found.uid() == place.uid);
    folders.extend((of_tmp != place.runtime && is_own).then_some(of_tmp));
    folders.into_iter().filter(|folder| files::is_folder(folder)).collect()
}

/// Something that was to go, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What.
    pub item: Item,
    /// Why it is still there, if it is.
    pub problem: Option<String>,
}

/// Takes these, in the order in which a survey found them. `tell` hears of each before it goes.
pub async fn take(place: &Place, items: Vec<Item>, tell: impl Fn(&Item)) -> Vec<Taken> {
    let images: Vec<(String, Vec<String>)> = items
        .iter()
        .filter_map(|item| match &item.action {
            Action::Image { id, names } => Some((id.clone(), names.clone())),
            _ => None,
        })
        .collect();
    // All together: the engine takes those along that nothing else stands on.
    let mut outcomes: Option<BTreeMap<String, Result<(), String>>> = None;
    let mut taken = Vec::new();
    // An agent that still runs could put things in the way; and without the key nobody could go on with its frame.
    let mut lives = false;
    for item in items {
        tell(&item);
        let done = match (&item.action, &place.engine) {
            _ if lives && matches!(item.kind, Kind::Frame | Kind::Keyring | Kind::Home) => {
                Err("a container of this home is still there".to_owned())
            }
            (Action::Image { id, .. }, Some(podman)) => {
                if outcomes.is_none() {
                    outcomes = Some(engine::remove_images(podman, &images).await);
                }
                outcomes.as_mut().and_then(|outcomes| outcomes.remove(id)).unwrap_or(Ok(()))
            }
            _ => take_one(place, &item.action).await,
        };
        lives |= item.kind == Kind::Container && done.is_err();
        taken.push(Taken { item, problem: done.err() });
    }
    taken
}

async fn take_one(place: &Place, action: &Action) -> Result<(), String> {
    let said = |error: std::io::Error| error.to_string();
    match action {
        Action::Container(id) => match &place.engine {
            Some(podman) => engine::remove_container(podman, id).await,
            None => Err("Podman is not installed any more".to_owned()),
        },
        Action::Image { .. } => Err("Podman is not installed any more".to_owned()),
        Action::Tree(folder) => remove_folder(place, folder).await,
        Action::File(file) => files::remove(file).map_err(said),
        Action::Unit { file, link } => system::remove_unit(place, file.as_deref(), link),
        Action::Ports { file } => system::give_ports_back(file, &place.reserved_ports).map_err(said),
        Action::Keyring => place.keyring.as_ref().map_or(Ok(()), |keyring| keyring.forget()),
        Action::Home => files::remove_home(&place.home).map_err(said),
    }
}

/// A folder of a frame may hold files of ids that were lent to the user, which the engine can remove.
async fn remove_folder(place: &Place, folder: &Path) -> Result<(), String> {
    let done = match (files::remove(folder), &place.engine) {
        (Err(error), Some(podman))
            if error.kind() == std::io::ErrorKind::PermissionDenied && !place.is_root() =>
        {
            engine::remove_as_lender(podman, folder).await
        }
        (done, _) => done.map_err(|error| error.to_string()),
    };
    // The folder around it is shared by the homes of a user, and goes with the last one.
    if let Some(parent) = folder.parent().filter(|_| folder == place.runtime) {
        let _ = files::empty_is_gone(parent);
    }
    done
}
