//! The container engine and the frame image, as far as asking goes. Running is in [`super::probe`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Subject;
use super::check::{About, Finding};
use crate::frames::{Frames, ImageNews};
use crate::model::container::ImageInfo;
use crate::model::doctor::Check;
use crate::runtime::{EngineInfo, RuntimeError};
use crate::store;

const WITHIN: Duration = Duration::from_secs(15);
/// The label with the hash of an image's inputs.
const LABEL_INPUTS: &str = "io.mimir.inputs";
/// The label with the version of opencode in it.
const LABEL_OPENCODE: &str = "io.mimir.opencode";
const BUILD: &str = "mimir image build";
/// The same, and the frames there are follow.
const RENEW: &str = "mimir image build; mimir frame upgrade --all";

/// Whether the engine answers.
pub(super) async fn reach(subject: &Subject) -> (Check, Option<EngineInfo>) {
    let about =
        About { id: "engine.reach", title: "the container engine answers", why: "frames are its containers" };
    let mut info = None;
    let attempt = async {
        match subject.runtime.info().await {
            Ok(found) => {
                let how = if found.rootless { "rootless" } else { "rootful" };
                let text = format!("{} {} ({how}) at {}", found.kind, found.version, found.socket);
                info = Some(found);
                Finding::ok(text)
            }
            Err(error @ RuntimeError::NotInstalled { .. }) => {
                Finding::failed(error.to_string(), "mimir setup (or: sudo apt install podman)")
            }
            Err(error) => Finding::failed(with_cause(&error), "podman info"),
        }
    };
    let check = about.attempt(WITHIN, attempt).await;
    (check, info)
}

/// The one line for all that cannot be tried without an engine.
pub(super) fn unreachable() -> Check {
    let about = About { id: "engine.run", title: "a frame runs", why: "it is what mimir is for" };
    about.found(Finding::skipped("the container engine does not answer"), Duration::ZERO)
}

/// What the engine lacks on this machine.
pub(super) fn capabilities(info: &EngineInfo) -> Check {
    let about = About {
        id: "engine.features",
        title: "the engine can limit, pause and measure frames",
        why: "without limits one frame can take the whole machine",
    };
    let can = info.capabilities;
    let named = [
        (can.limits, "limits of memory, cpus and processes"),
        (can.pause, "pausing"),
        (can.stats, "measuring"),
        (can.network, "network mode open"),
    ];
    let lacking: Vec<&str> = named.iter().filter(|(can, _)| !can).map(|(_, what)| *what).collect();
    let notes = if info.notes.is_empty() { String::new() } else { format!(" ({})", info.notes.join("; ")) };
    let finding = if lacking.is_empty() {
        Finding::ok(format!("all of it works here{notes}"))
    } else {
        Finding::warning(
            format!("not here: {}{notes}", lacking.join(", ")),
            "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1), or run the gateway as root; \
             network mode open without root needs /dev/net/tun and slirp4netns or pasta",
        )
    };
    about.found(finding, Duration::ZERO)
}

/// Whether the frame image is there.
pub(super) async fn image(subject: &Subject) -> (Check, Option<ImageInfo>) {
    let about =
        About { id: "image.present", title: "the frame image is there", why: "every frame is made from it" };
    let mut image = None;
    let attempt = async {
        match subject.runtime.find_image(&subject.image).await {
            Ok(Some(found)) => {
                let short: String = found.id.chars().take(12).collect();
                let text = format!("{} ({short}, {} MB)", subject.image, found.size_bytes / 1_000_000);
                image = Some(found);
                Finding::ok(text)
            }
            Ok(None) => Finding::failed(format!("{} is not on this machine", subject.image), BUILD),
            Err(error) => Finding::failed(with_cause(&error), "podman images"),
        }
    };
    let check = about.attempt(WITHIN, attempt).await;
    (check, image)
}

/// Whether the image was built from what this mimir would build it from.
pub(super) fn image_age(subject: &Subject, image: &ImageInfo) -> Check {
    let about = About {
        id: "image.current",
        title: "the frame image fits this mimir",
        why: "gateway and image talk to each other; an old image may lack what is expected of it",
    };
    let finding = match image.labels.get(LABEL_INPUTS) {
        Some(inputs) if *inputs == subject.image_inputs => Finding::ok("built from this version's files"),
        Some(_) => Finding::warning("built from other files than this version's", RENEW),
        None => Finding::warning("it does not say what it was built from", RENEW),
    };
    about.found(finding, Duration::ZERO)
}

/// Whether frames run on what their images are now.
pub(super) async fn frames(subject: &Subject) -> Check {
    let about = About {
        id: "image.frames",
        title: "frames are on the newest build of their image",
        why: "what was mended since is not in an older one",
    };
    let Some(store) = subject.store.clone() else {
        return about.found(Finding::skipped("the database could not be opened"), Duration::ZERO);
    };
    let attempt = async {
        let frames = match store.read(|db| store::frames::list(db)).await {
            Ok(frames) => frames,
            Err(error) => return Finding::skipped(error.to_string()),
        };
        let mut images: BTreeMap<String, Option<ImageInfo>> = BTreeMap::new();
        let (mut behind, mut rebuilds) = (Vec::new(), BTreeSet::new());
        for frame in frames.iter().filter(|frame| frame.engine.is_local()) {
            if !images.contains_key(&frame.image) {
                match subject.runtime.find_image(&frame.image).await {
                    Ok(image) => images.insert(frame.image.clone(), image),
                    Err(error) => return Finding::failed(with_cause(&error), "podman images"),
                };
            }
            let Some(Some(image)) = images.get(&frame.image) else { continue };
            let news = ImageNews::of(frame, image, &subject.image_inputs);
            if news.behind || news.rebuild.is_some() {
                behind.push(frame.name.as_str());
            }
            rebuilds.extend(news.rebuild);
        }
        if behind.is_empty() {
            let ready = match store.read(|db| store::frames::count_warm(db)).await {
                Ok(0) | Err(_) => String::new(),
                Ok(warm) => format!(", and {warm} kept ready (`frames.warm`)"),
            };
            let why = subject.frames.as_ref().and_then(Frames::why_not_kept_ready);
            let more = why.map(|why| format!("; no more are kept ready for now: {why}")).unwrap_or_default();
            return Finding::ok(format!("{} of them{ready}{more}", frames.len()));
        }
        let upgrade = format!("mimir frame upgrade {}", behind.join(" "));
        let fix: Vec<String> = rebuilds.into_iter().chain([upgrade]).collect();
        Finding::warning(format!("on an older one: {}", behind.join(", ")), fix.join("; "))
    };
    about.attempt(WITHIN, attempt).await
}

/// Whether the opencode in the image is the one that is spoken to.
pub(super) fn opencode(subject: &Subject, image: &ImageInfo) -> Check {
    let about = About {
        id: "image.opencode",
        title: "opencode has the expected version",
        why: "its protocol changes between versions",
    };
    let finding = match image.labels.get(LABEL_OPENCODE) {
        Some(version) if version == subject.opencode => Finding::ok(format!("opencode {version}")),
        Some(version) => {
            Finding::warning(format!("opencode {version}; {} is expected", subject.opencode), RENEW)
        }
        None => Finding::warning("the image does not say which opencode it has", RENEW),
    };
    about.found(finding, Duration::ZERO)
}

/// An error with its cause, which often is the useful half.
pub(super) fn with_cause(error: &RuntimeError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
