//! What the engine has of ours, asked with its program: there may be no gateway and no database to ask.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::images::Image;
use super::item::{Action, Item, Kind};
use crate::model::container::{LABEL_FRAME, LABEL_INSTANCE, LABEL_NAME};
use crate::runtime::engine::EngineCommand;

/// A machine with a slow disk and hundreds of images takes its time.
const WITHIN: Duration = Duration::from_secs(300);
/// A build may take an hour; a container of one that is older is nobody's.
const LONGEST_BUILD_S: i64 = 2 * 3600;
/// How often images are removed together before each that is left is asked for its reason.
const ROUNDS: usize = 3;

/// A container, as the engine lists it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Container {
    id: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    names: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    /// Seconds.
    created: i64,
    #[serde(skip)]
    mounts: Vec<Mount>,
    /// Made by a build, and known to nothing else.
    #[serde(skip)]
    is_of_a_build: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Mount {
    source: String,
    destination: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Inspected {
    id: String,
    mounts: Option<Vec<Mount>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedImage {
    id: String,
    history: Option<Vec<Layer>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Layer {
    created_by: String,
}

/// Containers, sorted by whose they are.
#[derive(Debug, Default)]
pub(super) struct Containers {
    pub(super) ours: Vec<Container>,
    /// Left by builds that were killed.
    pub(super) left: Vec<Container>,
    /// Of other homes, or of other programs.
    pub(super) others: Vec<Container>,
}

impl Container {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.as_ref()?.get(name).map(String::as_str)
    }

    /// The id of the image it was made from.
    pub(super) fn image(&self) -> &str {
        &self.image_id
    }

    /// Whether mimir made it, for whatever home.
    pub(super) fn is_of_mimir(&self) -> bool {
        self.label(LABEL_INSTANCE).is_some()
    }

    /// The project's folder that it works in.
    pub(super) fn workspace(&self) -> Option<&str> {
        let found = self.mounts.iter().find(|mount| mount.destination == "/workspace");
        found.map(|mount| mount.source.as_str())
    }

    pub(super) fn item(&self, kind: Kind) -> Item {
        let name = self.names.iter().flatten().next().unwrap_or(&self.id);
        let what = match self.label(LABEL_NAME) {
            Some(frame) => format!("{name} (frame {frame})"),
            None => name.clone(),
        };
        Item::new(kind, what, 0, Action::Container(self.id.clone()))
    }
}

/// Whose the containers are: by the folders that they mount, then by the home's id that these carry. Both are written
/// when a container is made, so nothing else needs to be there.
pub(super) fn sort(all: Vec<Container>, home: &Path, now_s: i64) -> Containers {
    let frames = home.join("frames");
    let is_mounted = |container: &Container| {
        let id = container.label(LABEL_FRAME).filter(|id| !id.is_empty() && !id.contains('/'));
        let Some(id) = id else { return false };
        container.mounts.iter().any(|mount| Path::new(&mount.source).starts_with(frames.join(id)))
    };
    let of_home = |container: &&Container| container.is_of_mimir() && is_mounted(container);
    let instances: BTreeSet<String> =
        all.iter().filter(of_home).filter_map(|it| it.label(LABEL_INSTANCE)).map(str::to_owned).collect();
    let mut sorted = Containers::default();
    for container in all {
        let is_ours = container.label(LABEL_INSTANCE).is_some_and(|id| instances.contains(id));
        let place = if is_ours {
            &mut sorted.ours
        } else if container.is_of_a_build && container.created + LONGEST_BUILD_S < now_s {
            &mut sorted.left
        } else {
            &mut sorted.others
        };
        place.push(container);
    }
    sorted
}

/// All containers, with what those of mimir mount.
pub(super) async fn containers(engine: &EngineCommand) -> Result<Vec<Container>, String> {
    let list = |external: bool| {
        let mut arguments = vec!["ps", "-a", "--no-trunc", "--format", "json"];
        arguments.extend(external.then_some("--external"));
        arguments
    };
    let mut all: Vec<Container> = ask(engine, &list(true)).await?;
    let known: Vec<Container> = ask(engine, &list(false)).await?;
    let known: BTreeSet<&str> = known.iter().map(|container| container.id.as_str()).collect();
    for container in &mut all {
        container.is_of_a_build = !known.contains(container.id.as_str());
    }
    let ids: Vec<&str> = all.iter().filter(|it| it.is_of_mimir()).map(|it| it.id.as_str()).collect();
    if ids.is_empty() {
        return Ok(all);
    }
    let found: Vec<Inspected> = ask(engine, &[&["container", "inspect"], &ids[..]].concat()).await?;
    let mut mounts: BTreeMap<String, Vec<Mount>> =
        found.into_iter().map(|it| (it.id, it.mounts.unwrap_or_default())).collect();
    for container in &mut all {
        container.mounts = mounts.remove(&container.id).unwrap_or_default();
    }
    Ok(all)
}

/// All images, those without a name with what they were made by. Asked again when one goes while they are listed: a build
/// that runs beside makes and removes them, and the engine then refuses the whole list.
pub(super) async fn images(engine: &EngineCommand) -> Result<Vec<Image>, String> {
    const TRIES: u32 = 5;
    let mut tried = 1;
    loop {
        match images_now(engine).await {
            Err(why) if tried < TRIES && why.contains("image not known") => {
                tried += 1;
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
            listed => return listed,
        }
    }
}

async fn images_now(engine: &EngineCommand) -> Result<Vec<Image>, String> {
    let listed: Vec<Image> = ask(engine, &["images", "-a", "--no-trunc", "--format", "json"]).await?;
    // One with several names is listed several times.
    let mut images: BTreeMap<String, Image> =
        listed.into_iter().map(|image| (image.id.clone(), image)).collect();
    let unknown: Vec<String> = images.values().filter(|it| it.is_unknown()).map(|it| it.id.clone()).collect();
    if !unknown.is_empty() {
        let mut arguments = vec!["image", "inspect"];
        arguments.extend(unknown.iter().map(String::as_str));
        let found: Vec<InspectedImage> = ask(engine, &arguments).await?;
        for inspected in found {
            let Some(image) = images.get_mut(&inspected.id) else { continue };
            let history = inspected.history.unwrap_or_default();
            image.made_by = history.into_iter().map(|layer| layer.created_by).collect();
        }
    }
    Ok(images.into_values().collect())
}

/// Removes a container in whatever state it is.
pub(super) async fn remove_container(engine: &EngineCommand, id: &str) -> Result<(), String> {
    gone_is_fine(call(engine, &["rm", "-f", "-t", "2", id]).await.map(drop))
}

/// Removes images, those that stand on others first. What cannot be removed is answered with its reason.
pub(super) async fn remove_images(
    engine: &EngineCommand,
    images: &[(String, Vec<String>)],
) -> BTreeMap<String, Result<(), String>> {
    let words =
        |id: &String, names: &Vec<String>| if names.is_empty() { vec![id.clone()] } else { names.clone() };
    for _ in 0..ROUNDS {
        let left = still_there(engine, images).await;
        let mut arguments = vec!["rmi".to_owned()];
        let wanted = images.iter().filter(|(id, _)| left.contains(id));
        arguments.extend(wanted.flat_map(|(id, names)| words(id, names)));
        if arguments.len() == 1 {
            break;
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // Some of them went with others, and are not found any more.
        let _ = call(engine, &arguments).await;
    }
    let left = still_there(engine, images).await;
    let mut outcomes = BTreeMap::new();
    for (id, names) in images {
        let mut outcome = Ok(());
        if left.contains(id) {
            for word in words(id, names) {
                outcome = outcome.and(gone_is_fine(call(engine, &["rmi", &word]).await.map(drop)));
            }
        }
        outcomes.insert(id.clone(), outcome);
    }
    outcomes
}

async fn still_there(engine: &EngineCommand, images: &[(String, Vec<String>)]) -> BTreeSet<String> {
    let listed = call(engine, &["images", "-a", "-q", "--no-trunc"]).await.unwrap_or_default();
    let there: BTreeSet<&str> = listed.lines().map(|line| line.trim_start_matches("sha256:")).collect();
    images.iter().map(|(id, _)| id.clone()).filter(|id| there.contains(id.as_str())).collect()
}

/// Removes a folder with files of a user's lent ids, which that user alone cannot.
pub(super) async fn remove_as_lender(engine: &EngineCommand, folder: &Path) -> Result<(), String> {
    let folder = folder.display().to_string();
    call(engine, &["unshare", "rm", "-rf", "--one-file-system", "--", &folder]).await.map(drop)
}

fn gone_is_fine(done: Result<(), String>) -> Result<(), String> {
    match done {
        Err(why)
            if ["no such container", "no container with", "image not known"]
                .iter()
                .any(|it| why.contains(it)) =>
        {
            Ok(())
        }
        done => done,
    }
}

async fn ask<T: DeserializeOwned>(engine: &EngineCommand, arguments: &[&str]) -> Result<T, String> {
    let told = call(engine, arguments).await?;
    let unreadable = |error| format!("the answer of `podman {}` cannot be read: {error}", arguments[0]);
    serde_json::from_str(&told).map_err(unreadable)
}

async fn call(engine: &EngineCommand, arguments: &[&str]) -> Result<String, String> {
    let mut command = engine.command();
    command.args(arguments).current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
    let late = |_| format!("`podman {}` did not end within {} s", arguments[0], WITHIN.as_secs());
    let done = tokio::time::timeout(WITHIN, command.output()).await.map_err(late)?;
    let done = done.map_err(|error| format!("{} cannot be run: {error}", engine.program.display()))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it did not say why");
    Err(last.trim_start_matches("Error: ").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, labels: &[(&str, &str)], sources: &[&str]) -> Container {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mount = |source: &&str| Mount { source: (*source).to_owned(), destination: "/x".into() };
        Container {
            id: id.into(),
            labels: Some(labels.collect()),
            mounts: sources.iter().map(mount).collect(),
            ..Container::default()
        }
    }

    fn ids(containers: &[Container]) -> Vec<&str> {
        containers.iter().map(|it| it.id.as_str()).collect()
    }

    #[test]
    fn containers_are_this_homes_by_what_they_mount_and_then_by_its_id() {
        let of = |id, instance, frame, source| {
            container(id, &[(LABEL_INSTANCE, instance), (LABEL_FRAME, frame)], &[source])
        };
        let sorted = sort(
            vec![
                of("frame", "ins_1", "frm_a", "/home/me/.mimir/frames/frm_a/home"),
                of("its probe", "ins_1", "frm_b", "/somewhere/else"),
                of("neighbour", "ins_2", "frm_c", "/home/me/.mimir-2/frames/frm_c/home"),
                of("liar", "ins_3", "frm_d", "/home/me/.mimir/frames/frm_a/home"),
                of("climber", "ins_4", "..", "/home/me/.mimir/frames/frm_a/home"),
                container("stranger", &[], &["/home/me/.mimir/frames/frm_a/home"]),
                Container { is_of_a_build: true, created: 10, ..container("old build", &[], &[]) },
                Container { is_of_a_build: true, created: 9_000, ..container("build", &[], &[]) },
            ],
            Path::new("/home/me/.mimir"),
            10_000,
        );
        assert_eq!(ids(&sorted.ours), ["frame", "its probe"]);
        assert_eq!(ids(&sorted.left), ["old build"]);
        assert_eq!(ids(&sorted.others), ["neighbour", "liar", "climber", "stranger", "build"]);
    }
}
