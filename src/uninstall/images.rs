//! Which images are ours, and which of those may go. Decides and touches nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::item::{Action, Item, Kind};
use crate::runtime::build::{
    BASE_NAME, IMAGE_NAME, LABEL_PROJECT, MadeList, PROJECT_IMAGE, is_of_our_recipe,
};
use crate::runtime::podman::IMAGE_LABEL;

/// What a frame image says in the place of a project's recipe; whatever anybody builds on one says so too.
const NO_PROJECT: &str = "left-out";

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

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.as_ref()?.get(name).map(String::as_str)
    }

    /// Whether it has a name that mimir gives, and the label that goes with it: anybody can give a name.
    fn is_as_made(&self) -> bool {
        let fits = |name: &String| match name.rsplit_once(':') {
            Some((IMAGE_NAME, tag)) => {
                self.label(IMAGE_LABEL).is_some_and(|inputs| tag == "latest" || inputs.starts_with(tag))
            }
            Some((PROJECT_IMAGE, _)) => self.label(LABEL_PROJECT).is_some_and(|recipe| recipe != NO_PROJECT),
            _ => false,
        };
        self.our_names().iter().any(fits)
    }

    fn is_base(&self) -> bool {
        self.our_names().iter().any(|name| name.starts_with(BASE_NAME))
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

/// What this home made.
#[derive(Clone, Debug, Default)]
pub(super) struct Made {
    /// The images that were noted. Older homes began without a list: what is not in it is judged by its labels, unless
    /// there are others.
    pub(super) noted: MadeList,
    /// Whether there is another home, whose they may be.
    pub(super) are_others: bool,
}

impl Made {
    fn has(&self, image: &Image) -> bool {
        let is_noted = self.noted.ids.contains(image.id.trim_start_matches("sha256:"));
        is_noted || (!self.noted.is_whole && !self.are_others && image.is_as_made())
    }
}

/// The ids of the images that are ours.
pub(super) fn ids_of_ours<'a>(images: &'a [Image], made: &Made) -> BTreeSet<&'a str> {
    let by_id: BTreeMap<&str, &Image> = images.iter().map(|image| (image.id.as_str(), image)).collect();
    ours(images, made, &|image: &Image| by_id.get(image.parent_id.as_str()).copied())
}

/// `used` says which images containers are made from that stay.
pub(super) fn decide(images: &[Image], made: &Made, used: &BTreeMap<String, String>) -> Decision {
    let by_id: BTreeMap<&str, &Image> = images.iter().map(|image| (image.id.as_str(), image)).collect();
    let parent = |image: &Image| by_id.get(image.parent_id.as_str()).copied();
    let ours = ours(images, made, &parent);

    let mut decision = Decision::default();
    // What somebody else's container or image stands on stays with it.
    let mut needed: BTreeSet<&str> = BTreeSet::new();
    for image in images {
        let is_ours = ours.contains(image.id.as_str());
        let (named, our_names) = (image.names().count(), image.our_names());
        let user = used.get(&image.id);
        let stays = match user {
            Some(user) if is_ours || !our_names.is_empty() => {
                Some(format!("image {}: {user} is made from it", shown(image)))
            }
            None if is_ours && named > our_names.len() => Some(format!(
                "image {}: it has a name that mimir did not give it; {}",
                shown(image),
                by_hand(image)
            )),
            None if !is_ours && !our_names.is_empty() => Some(format!(
                "image {}: it has a name of mimir's, and this home did not make it; {}",
                shown(image),
                by_hand(image)
            )),
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

/// Ours because this home made it; without a name, because one that is ours stands on it or it on one. What builds left of
/// which nobody knows whose it is goes with the last home: by its label or the recipe.
fn ours<'a>(
    images: &'a [Image],
    made: &Made,
    parent: &impl Fn(&Image) -> Option<&'a Image>,
) -> BTreeSet<&'a str> {
    let is_nameless = |image: &Image| !image.has_name();
    let is_last = !made.are_others && !images.iter().any(|image| image.is_as_made() && !made.has(image));
    let is_left = |image: &Image| {
        is_last && is_nameless(image) && (image.has_label() || is_of_our_recipe(&image.made_by))
    };
    let by_itself = |image: &&Image| made.has(image) || is_left(image);
    let mut ours: BTreeSet<&str> = images.iter().filter(by_itself).map(|image| image.id.as_str()).collect();
    loop {
        let before = ours.len();
        for image in images {
            let Some(below) = parent(image) else { continue };
            if ours.contains(below.id.as_str()) && is_nameless(image) {
                ours.insert(&image.id);
            }
            // One that was fetched or imported stands on nothing, and is whoever's who named it.
            let is_step = is_nameless(below) && !below.parent_id.is_empty();
            if ours.contains(image.id.as_str()) && (is_step || below.is_base()) {
                ours.insert(&below.id);
            }
        }
        if ours.len() == before {
            return ours;
        }
    }
}

/// How somebody takes it away who knows that nobody wants it: no container is made from it.
fn by_hand(image: &Image) -> String {
    let names: Vec<&str> = image.names().map(String::as_str).collect();
    format!("if nobody wants it: `podman rmi {}`", names.join(" "))
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
        let project = if id == "project" { "0123456789abcdef" } else { NO_PROJECT };
        let labels =
            [(IMAGE_LABEL.to_owned(), "abcdef".to_owned()), (LABEL_PROJECT.to_owned(), project.to_owned())];
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
        let decision = decide(&machine(), &Made::default(), &BTreeMap::new());
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
        let decision = decide(&machine(), &Made::default(), &used);
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
        let decision = decide(&images, &Made::default(), &BTreeMap::new());
        let left: Vec<&str> = gone(&decision).into_iter().map(|(what, _)| what).collect();
        assert_eq!(left, ["old", "stage"], "the frame image carries both");
        assert_eq!(decision.stays.len(), 1, "{decision:?}");
    }

    fn noted(ids: &[&str], is_whole: bool) -> MadeList {
        MadeList { ids: ids.iter().map(|id| (*id).to_owned()).collect(), is_whole }
    }

    /// The home is older than its list: what it made before is known by its label.
    #[test]
    fn what_a_home_made_before_it_kept_a_list_goes_too_unless_there_is_another_home() {
        let began_later = |are_others| Made { noted: noted(&["project"], false), are_others };
        let all = decide(&machine(), &began_later(false), &BTreeMap::new());
        assert_eq!(gone(&all), gone(&decide(&machine(), &Made::default(), &BTreeMap::new())));
        assert_eq!(all.stays, Vec::<String>::new());
        let shared = decide(&machine(), &began_later(true), &BTreeMap::new());
        assert_eq!(gone(&shared), [("localhost/mimir-project:go", 40)]);
    }

    /// Whatever it is called: what another home made, or a person.
    #[test]
    fn what_this_home_did_not_make_stays_whatever_its_name() {
        let made = |ids: &[&str]| Made { noted: noted(ids, true), are_others: false };
        let gone_of = |images: &[Image], made: &Made| {
            let decision = decide(images, made, &BTreeMap::new());
            let gone: Vec<String> = gone(&decision).into_iter().map(|(what, _)| what.to_owned()).collect();
            (gone, decision.stays.join("\n"))
        };
        let (gone, stays) = gone_of(&machine(), &made(&["project"]));
        assert_eq!(gone, ["localhost/mimir-project:go"]);
        assert!(
            stays.contains("mimir-frame:latest") && stays.contains("this home did not make it"),
            "{stays}"
        );
        let by_hand = "`podman rmi localhost/mimir-frame:latest localhost/mimir-frame:abc`";
        assert!(stays.contains(by_hand), "{stays}");
        // Nothing was noted, and there is another home: then nobody knows.
        let (gone, _) = gone_of(&machine(), &Made { are_others: true, ..Made::default() });
        assert_eq!(gone, [""; 0]);
        // A person's own: with a name of mimir's and without its label, or built on a frame image.
        let mut images = machine();
        images.push(image("named", "debian", &["localhost/mimir-project:mine"], false, 99));
        images.push(image("built", "frame", &["localhost/mimir-project:theirs"], true, 170));
        let (gone, stays) = gone_of(&images, &Made::default());
        assert!(!gone.iter().any(|what| what.contains("mine") || what.contains("theirs")), "{gone:?}");
        assert!(stays.contains("mimir-project:mine") && stays.contains("mimir-project:theirs"), "{stays}");
    }
}
