//! Frames whose image was built anew since they were made, and moving them to it.
//!
//! A container is made from an image id, so a later build changes nothing for the frames there are. What their
//! references stand for now is asked from time to time and kept, so that a list of frames need not ask the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::json;

use super::Frames;
use super::error::FrameError;
use crate::model::container::ImageInfo;
use crate::model::frame::{Desired, Frame};
use crate::model::kit::Kit;
use crate::model::names::{FrameName, suggest};
use crate::model::principal::Principal;
use crate::model::shell;
use crate::runtime::RuntimeError;
use crate::runtime::build::{LABEL_PROJECT, LABEL_TOOLS, PROJECT_IMAGE, inputs_hash};
use crate::runtime::podman::IMAGE_LABEL;
use crate::store::{frames, messages};

/// How many ticks what is known of images is believed.
const TICKS: u32 = 6;

/// What the references of frames stood for when the engine was asked last.
#[derive(Debug, Default)]
pub(super) struct Images(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    asked: Option<Instant>,
    by_reference: BTreeMap<String, ImageInfo>,
}

/// What there is to say about a frame's image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageNews {
    /// Its reference stands for another image now.
    pub behind: bool,
    /// The command that makes its project's image anew, when that was built on an older frame image.
    pub rebuild: Option<String>,
}

/// What became of a wish to move a frame to its newest image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// As it is now.
    pub frame: Frame,
    /// The image that it was made from; none when there was nothing to do.
    pub from: Option<String>,
}

impl ImageNews {
    /// Of a frame whose reference stands for that image. `inputs` is what this mimir builds its frame image from.
    #[must_use]
    pub fn of(frame: &Frame, image: &ImageInfo, inputs: &str) -> Self {
        if !frame.engine.is_local() || frame.desired == Desired::Removed {
            return Self::default();
        }
        let is_old = image.labels.get(IMAGE_LABEL).is_some_and(|theirs| theirs != inputs);
        let rebuild = (is_old && image.labels.contains_key(LABEL_PROJECT)).then(|| rebuild(frame, image));
        Self { behind: image.id != frame.image_id, rebuild }
    }
}

/// The command that makes the image of a project anew: by its tools, by its folder, or by both.
fn rebuild(frame: &Frame, image: &ImageInfo) -> String {
    let name = frame.image.strip_prefix(PROJECT_IMAGE).and_then(|rest| rest.strip_prefix(':'));
    let name = name.unwrap_or_default();
    // Images from before the label was written are named after their tools.
    let by_name = name.split('-').all(|word| word.parse::<Kit>().is_ok()).then(|| name.replace('-', ","));
    let tools = image.labels.get(LABEL_TOOLS).cloned().or(by_name).unwrap_or_default();
    if !tools.is_empty() && tools.replace(',', "-") == name {
        return format!("mimir image build --with {tools}");
    }
    let folder = frame.workspace.rsplit('/').next().and_then(suggest);
    let is_its_own = folder.is_some_and(|folder| folder == name);
    let path = if is_its_own { shell::quoted(&frame.workspace) } else { "PATH".to_owned() };
    let with = if tools.is_empty() { String::new() } else { format!(" --with {tools}") };
    format!("mimir image build --project {path}{with}")
}

impl Frames {
    /// What there is to say about the frame's image, as far as that is known: it may be a minute old.
    #[must_use]
    pub fn image_news(&self, frame: &Frame) -> ImageNews {
        let known = self.inner.images.0.lock();
        let image = known.by_reference.get(&frame.image);
        image.map(|image| ImageNews::of(frame, image, &inputs_hash())).unwrap_or_default()
    }

    /// Asks the engine what the references of all frames stand for.
    ///
    /// # Errors
    /// The database's and the engine's; what was known before stays.
    pub async fn look_at_images(&self) -> Result<(), FrameError> {
        let frames = self.list().await?;
        let local = frames.into_iter().filter(|frame| frame.engine.is_local());
        let references: BTreeSet<String> = local.map(|frame| frame.image).collect();
        let mut by_reference = BTreeMap::new();
        for reference in references {
            if let Some(image) = self.inner.deps.runtime.find_image(&reference).await? {
                by_reference.insert(reference, image);
            }
        }
        *self.inner.images.0.lock() = Known { asked: Some(Instant::now()), by_reference };
        Ok(())
    }

    /// Asks the engine again when what is known has become old.
    pub(super) async fn look_at_images_when_due(&self) {
        let patience = self.inner.deps.settings.tick * TICKS;
        let is_fresh = self.inner.images.0.lock().asked.is_some_and(|asked| asked.elapsed() < patience);
        if is_fresh {
            return;
        }
        if let Err(error) = self.look_at_images().await {
            tracing::debug!(%error, "what the images of frames are now could not be found out: {error}");
        }
    }

    /// The image that the frame's reference stands for now.
    ///
    /// # Errors
    /// [`RuntimeError::ImageMissing`], [`FrameError::ForeignImage`], or the engine's.
    pub async fn newest_image(&self, frame: &Frame) -> Result<ImageInfo, FrameError> {
        let Some(image) = self.inner.deps.runtime.find_image(&frame.image).await? else {
            return Err(RuntimeError::ImageMissing { image: frame.image.clone() }.into());
        };
        if !image.labels.contains_key(IMAGE_LABEL) {
            return Err(FrameError::ForeignImage(frame.image.clone()));
        }
        self.inner.images.0.lock().by_reference.insert(frame.image.clone(), image.clone());
        Ok(image)
    }

    /// From now on the frame is made from the image that its reference stands for; one that runs begins anew. Its home,
    /// its conversations, ports and rules stay, and one that is stopped stays so. `busy` is why it should not be
    /// interrupted; with `force` it is anyway.
    ///
    /// # Errors
    /// [`FrameError::NotFound`], [`FrameError::External`], [`FrameError::BeingDestroyed`], [`FrameError::Busy`]; as
    /// [`Frames::newest_image`].
    pub async fn upgrade(
        &self,
        principal: &Principal,
        name: &FrameName,
        busy: Option<&str>,
        force: bool,
    ) -> Result<Upgrade, FrameError> {
        let frame = self.get(name).await?;
        if !frame.engine.is_local() {
            return Err(FrameError::External { name: name.to_string(), action: "upgraded" });
        }
        if frame.desired == Desired::Removed {
            return Err(FrameError::BeingDestroyed(name.to_string()));
        }
        let image = self.newest_image(&frame).await?;
        if image.id == frame.image_id {
            return Ok(Upgrade { frame, from: None });
        }
        let is_busy = |why: &str| FrameError::Busy { name: name.to_string(), why: why.to_owned() };
        if let Some(why) = busy.filter(|_| !force) {
            return Err(is_busy(why));
        }
        let waits = is_busy("a message is on its way");
        let (principal, id, from) = (principal.clone(), frame.id, frame.image_id);
        let written = self.inner.deps.store.write_as(move |tx| {
            let frame = frames::get(tx, &id)?;
            if frame.desired == Desired::Removed {
                return Err(FrameError::BeingDestroyed(frame.name.to_string()));
            }
            if !force && !messages::list_open(tx, Some(&id))?.is_empty() {
                return Err(waits);
            }
            // Somebody else did it meanwhile.
            if frame.image_id == image.id {
                return Ok(Upgrade { frame, from: None });
            }
            frames::set_image(tx, &id, &frame.image, &image.id)?;
            frames::bump_generation(tx, &id)?;
            frames::set_reason(tx, &id, None)?;
            let detail = json!({ "frame": id, "image": frame.image, "from": from, "to": image.id });
            tx.audit(&principal, "frame.upgrade", frame.name.as_str(), &detail)?;
            let text = format!("it is made from {} as it is now ({})", frame.image, short(&image.id));
            frames::note(tx, &id, "upgraded", &text)?;
            Ok(Upgrade { frame: frames::get(tx, &id)?, from: Some(from) })
        });
        let upgrade = written.await?;
        if upgrade.from.is_some() {
            self.inner.failpoints.hit("upgrade.after_row").await;
            self.inner.wake_driver(&upgrade.frame.id);
        }
        Ok(upgrade)
    }
}

fn short(id: &str) -> &str {
    let id = id.trim_start_matches("sha256:");
    id.get(..12).unwrap_or(id)
}
