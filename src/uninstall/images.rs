//! Which images are ours, and which of those may go. Decides and touches nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::item::{Action, Item, Kind};
use crate::runtime::build::{BASE_NAME, IMAGE_NAME, PROJECT_IMAGE, is_of_our_recipe};
use crate::runtime::podman::IMAGE_LABEL;

/// An image, as the engine lists it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Image {
    pub(super) id: String,
    parent_id: String,
    names: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    /// With everything that it stands on.
    size: u64,
    /// The commands that made it.
    #[serde(skip)]
    pub(super) made_by: Vec<String>,
}

impl Image {
    fn names(&self) -> impl Iterator<Item = &String> {
        self.names.iter().flatten()
    }

    fn has_label(&self) -> bool {
        self.labels.as_ref().is_some_and(|labels| labels.contains_key(IMAGE_LABEL))
    }

    fn has_name(&self) -> bool {
        self.names().next().is_some()
    }

    /// Whether neither name nor label says whose it is.
    pub(super) fn is_unknown(&self) -> bool {
        !self.has_name() && !self.has_label()
    }

    fn our_names(&self) -> Vec<String> {
        let is_ours = |name: &&String| {
            [IMAGE_NAME, PROJECT_IMAGE, BASE_NAME]
                .iter()
                .any(|ours| name.strip_prefix(ours).is_some_and(|rest| rest.starts_with(':')))
        };
        self.names().filter(is_ours).cloned().collect()
    }
}

/// What goes, those that stand on others first; and what stays, with the reason.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) goes: Vec<Item>,
    pub(super) stays: Vec<String>,
}

/// The ids of the images that are ours.
pub(super) fn ids_of_ours(images: &[Image]) -> BTreeSet<&str> {
    let by_id: BTreeMap<&str, &Image> = images.iter().map(|image| (image.id.as_str(), image)).collect();
    ours(images, &|image: &Image| by_id.get(image.parent_id.as_str()).copied())
}

/// `used` says which images containers are made from that stay.
pub(super) fn decide(images: &[Image], used: &BTreeMap<String, String>) -> Decision {
    let by_id: BTreeMap<&str, &Image> = images.iter().map(|image| (image.id.as_str(), image)).collect();
    let parent = |image: &Image| by_id.get(image.parent_id.as_str()).copied();
    let ours = ours(images, &parent);

    let mut decision = Decision::default();
    // What somebody else's container or image stands on stays with it.
    let mut needed: BTreeSet<&str> = BTreeSet::new();
    for image in images {
        let is_ours = ours.contains(image.id.as_str());
        let (named, our_names) = (image.names().count(), image.our_names());
        let user = used.get(&image.id);
        let stays = match user {
            Some(user) if is_ours => Some(format!("image {}: {user} is made from it", shown(image))),
            None if is_ours && named > our_names.len() => {
                Some(format!("image {}: it has a name that mimir did not give it", shown(image)))
            }
            _ => None,
        };
        let is_kept = user.is_some() || stays.is_some() || !is_ours;
        decision.stays.extend(stays);
        let mut next = Some(image).filter(|_| is_kept);
        while let Some(kept) = next {
            needed.insert(&kept.id);
            next = parent(kept);
        }
    }
    let depth = |image: &Image| std::iter::successors(Some(image), |image| parent(image)).count();
    let mut goes: Vec<&Image> = images
        .iter()
        .filter(|image| ours.contains(image.id.as_str()) && !needed.contains(image.id.as_str()))
        .collect();
    goes.sort_by_key(|image| std::cmp::Reverse(depth(image)));
    decision.goes = goes
        .into_iter()
        .map(|image| {
            let own = image.size.saturating_sub(parent(image).map_or(0, |parent| parent.size));
            let names = image.our_names();
            let kind = if names.is_empty() { Kind::Stage } else { Kind::Image };
            Item::new(kind, shown(image), own, Action::Image { id: image.id.clone(), names })
        })
        .collect();
    decision
}

/// Ours by name; without a name, by label, by the recipe, or because one that is ours stands on it or it on one.
fn ours<'a>(images: &'a [Image], parent: &impl Fn(&Image) -> Option<&'a Image>) -> BTreeSet<&'a str> {
    let is_nameless = |image: &Image| !image.has_name();
    let by_itself = |image: &&Image| {
        !image.our_names().is_empty()
            || (is_nameless(image) && (image.has_label() || is_of_our_recipe(&image.made_by)))
    };
    let mut ours: BTreeSet<&str> = images.iter().filter(by_itself).map(|image| image.id.as_str()).collect();
    loop {
        let before = ours.len();
        for image in images {
            let Some(below) = parent(image) else { continue };
            if ours.contains(below.id.as_str()) && is_nameless(image) {
                ours.insert(&image.id);
            }
            // One that was fetched or imported stands on nothing, and is whoever's who named it.
            if ours.contains(image.id.as_str()) && is_nameless(below) && !below.parent_id.is_empty() {
                ours.insert(&below.id);
            }
        }
        if ours.len() == before {
            return ours;
        }
    }
}

fn shown(image: &Image) -> String {
    let short: String = image.id.trim_start_matches("sha256:").chars().take(12).collect();
    match image.names().next() {
        Some(_) => image.names().cloned().collect::<Vec<_>>().join(", "),
        None => short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, parent: &str, names: &[&str], labelled: bool, size: u64) -> Image {
        let labels = [(IMAGE_LABEL.to_owned(), "x".to_owned())];
        Image {
            id: id.into(),
            parent_id: parent.into(),
            names: Some(names.iter().map(|name| (*name).to_owned()).collect()),
            labels: labelled.then(|| labels.into()),
            size,
            made_by: Vec::new(),
        }
    }

    /// A base of ours, a frame image, a project's image, a stage, and what others have.
    fn machine() -> Vec<Image> {
        let recipe = "/bin/sh -c /fetch/fetch npm 10".to_owned();
        vec![
            image("base", "", &["localhost/mimir-base:bookworm"], false, 100),
            image("step", "base", &[], false, 150),
            image("frame", "step", &["localhost/mimir-frame:latest", "localhost/mimir-frame:abc"], true, 160),
            image("old", "step", &[], true, 155),
            image("project", "frame", &["localhost/mimir-project:go"], true, 200),
            image("debian", "", &["docker.io/library/debian:bookworm-slim"], false, 90),
            Image { made_by: vec![recipe], ..image("stage", "debian", &[], false, 95) },
            image("theirs", "debian", &[], false, 99),
            image("app", "debian", &["localhost/mimir-frames:1"], false, 99),
        ]
    }

    fn gone(decision: &Decision) -> Vec<(&str, u64)> {
        decision.goes.iter().map(|item| (item.what.as_str(), item.size_bytes)).collect()
    }

    #[test]
    fn what_a_build_made_goes_and_what_others_have_stays() {
        let decision = decide(&machine(), &BTreeMap::new());
        assert_eq!(
            gone(&decision),
            [
                ("localhost/mimir-project:go", 40),
                ("localhost/mimir-frame:latest, localhost/mimir-frame:abc", 10),
                ("old", 5),
                ("step", 50),
                ("stage", 5),
                ("localhost/mimir-base:bookworm", 100),
            ]
        );
        assert_eq!(decision.stays, Vec::<String>::new());
    }

    #[test]
    fn an_image_that_a_container_of_another_home_is_made_from_stays_with_what_it_stands_on() {
        let used = BTreeMap::from([("frame".to_owned(), "mimir-frm_x of another home".to_owned())]);
        let decision = decide(&machine(), &used);
        let left: Vec<&str> = gone(&decision).into_iter().map(|(what, _)| what).collect();
        assert_eq!(left, ["localhost/mimir-project:go", "old", "stage"]);
        assert_eq!(decision.stays.len(), 1, "{decision:?}");
        assert!(decision.stays[0].contains("mimir-frm_x of another home is made from it"), "{decision:?}");
    }

    #[test]
    fn an_image_that_somebody_named_or_built_on_ours_stays() {
        let mut images = machine();
        images.push(image("mine", "frame", &["localhost/mine:1"], true, 300));
        images[4].names = Some(vec!["localhost/mimir-project:go".into(), "localhost/kept:1".into()]);
        let decision = decide(&images, &BTreeMap::new());
        let left: Vec<&str> = gone(&decision).into_iter().map(|(what, _)| what).collect();
        assert_eq!(left, ["old", "stage"], "the frame image carries both");
        assert_eq!(decision.stays.len(), 1, "{decision:?}");
    }
}
