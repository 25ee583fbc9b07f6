//! Frame images.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;

use crate::gateway::extract::{Caller, JsonBody};
use crate::gateway::ndjson;
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::state::{ImageSource, Services};
use crate::model::container::ImageInfo;
use crate::model::frame::Frame;
use crate::model::kit::Kit;
use crate::model::names::FrameName;
use crate::runtime::Runtime;
use crate::runtime::build::{self, BuildError, BuildProgress, BuildRequest, BuiltImage, ProjectRecipe};
use crate::store::{self, Store};
use crate::wire::images::{BuildImage, BuildLine, ImageView, ProjectImage};
use crate::wire::problem::Problem;

routes! {
    get "/v1/images" Read All => list;
    post "/v1/images/build" Admin All => build;
}

/// The label with the hash of an image's inputs.
const LABEL_INPUTS: &str = "io.mimir.inputs";
/// The label with the version of opencode in it.
const LABEL_OPENCODE: &str = "io.mimir.opencode";

/// The frame images on this machine, newest first.
#[utoipa::path(get, path = "/v1/images", tag = "images",
    responses((status = 200, body = Vec<ImageView>)))]
pub async fn list(State(runtime): State<Arc<dyn Runtime>>, State(store): State<Store>, State(source): State<ImageSource>) -> Answer<Json<Vec<ImageView>>> {
    let mut images = runtime.list_images().await?;
    images.sort_by_key(|image| std::cmp::Reverse(image.created_at));
    let frames = store.read(|db| store::frames::list(db)).await?;
    Ok(Json(images.into_iter().map(|image| view(image, &source.inputs, &frames)).collect()))
}

/// Builds the frame image, or says that it is there already. Ends with `done` or `failed`.
///
/// A client that goes away ends the build; what was built so far is in the engine's cache.
#[utoipa::path(post, path = "/v1/images/build", tag = "images", request_body = BuildImage,
    responses((status = 200, body = BuildLine, content_type = "application/x-ndjson")))]
pub async fn build(
    State(services): State<Services>,
    Caller(principal): Caller,
    JsonBody(request): JsonBody<BuildImage>,
) -> Answer<Response> {
    let Some(engine) = services.images.engine.clone() else {
        return Err(Reply::unavailable(
            "engine.not_installed",
            "the container engine's program is not installed",
        )
        .hint("`mimir setup` installs what is missing, or `sudo apt install podman`"));
    };
    let project = request.project.map(recipe).transpose()?;
    tracing::info!("{principal} asked for the frame image");
    let (counters, stop) = (services.counters.clone(), services.stop.clone());
    let (tell, told) = mpsc::channel(64);
    let work = Box::pin(async move {
        let made = Some(Path::new(&services.about.home).join(build::MADE));
        let request = BuildRequest { base: request.base, force: request.force, project, made, ..BuildRequest::default() };
        match build::build(&engine, request, tell).await {
            Ok(built) => done(&services, built).await,
            Err(error) => BuildLine::Failed { problem: failed(&error) },
        }
    });
    Ok(ndjson::stream(lines(work, told), &counters, stop))
}

/// What a project's image is to be made of.
fn recipe(asked: ProjectImage) -> Answer<ProjectRecipe> {
    let name = FrameName::parse(&asked.name).map_err(|error| Reply::bad_request("image.bad_name", error.to_string()))?;
    let mut with = Vec::new();
    for word in &asked.with {
        let unknown = || Reply::bad_request("image.no_such_tool", format!("`{word}` is none of {}", Kit::names()));
        with.push(word.parse::<Kit>().map_err(|_| unknown())?);
    }
    // The same tools make the same image, in whatever order they are named.
    with.sort();
    with.dedup();
    Ok(ProjectRecipe { name: name.to_string(), with, containerfile: asked.containerfile })
}

type Work = Pin<Box<dyn Future<Output = BuildLine> + Send>>;

/// What the work says while it goes on, then how it ended.
fn lines(
    work: Work,
    told: mpsc::Receiver<BuildProgress>,
) -> impl Stream<Item = Result<BuildLine, Problem>> + Send {
    stream::unfold((Some(work), told, None), |(mut work, mut told, mut end)| async move {
        loop {
            tokio::select! {
                biased;
                progress = told.recv(), if !told.is_closed() || !told.is_empty() => {
                    if let Some(progress) = progress {
                        return Some((Ok(progress_line(progress)), (work, told, end)));
                    }
                }
                last = go_on(&mut work), if work.is_some() => {
                    end = last;
                    work = None;
                    told.close();
                }
                else => {
                    let last = end.take()?;
                    return Some((Ok(last), (None, told, None)));
                }
            }
        }
    })
}

async fn go_on(work: &mut Option<Work>) -> Option<BuildLine> {
    match work {
        Some(work) => Some(work.await),
        None => None,
    }
}

fn progress_line(progress: BuildProgress) -> BuildLine {
    match progress {
        BuildProgress::Step { number, of, text } => BuildLine::Step { number, of, text },
        BuildProgress::Output { text } => BuildLine::Output { text },
    }
}

async fn done(services: &Services, built: BuiltImage) -> BuildLine {
    // What people call it comes first; engines list names in any order.
    let name = built.tags.first().cloned();
    let image = match services.runtime.find_image(&built.id).await {
        Ok(Some(image)) => image,
        // The build says that it is there; an engine that is slow now changes nothing about that.
        _ => ImageInfo {
            id: built.id,
            tags: built.tags,
            labels: [(LABEL_INPUTS.to_owned(), services.images.inputs.clone())].into(),
            size_bytes: 0,
            created_at: services.clock.now_ms(),
        },
    };
    // Whoever asks for frames next hears which of them are on an older one.
    if let Err(error) = services.frames.look_at_images().await {
        tracing::debug!(%error, "frames do not know of the image yet: {error}");
    }
    let frames = services.store.read(|db| store::frames::list(db)).await.unwrap_or_default();
    let mut image = view(image, &services.images.inputs, &frames);
    image.tags.sort_by_key(|tag| Some(tag) != name.as_ref());
    BuildLine::Done { image, built: built.built, loaded: built.loaded, base: built.base }
}

fn failed(error: &BuildError) -> Problem {
    let title = error.to_string();
    let (status, code, hint) = match error {
        BuildError::NoEngine { .. } => (503, "engine.not_installed", "`sudo apt install podman`"),
        BuildError::Containerfile { .. } => (
            400,
            "image.bad_containerfile",
            "it is built on the frame image: `FROM mimir-frame`, then RUN, ENV and the like",
        ),
        BuildError::NoSuchBase { .. } => (400, "image.no_such_base", "`podman images` shows what is here"),
        BuildError::NoBase { .. } => (
            424,
            "image.no_base",
            "`sudo apt install mmdebstrap`, or name an image: `mimir image build --base IMAGE`",
        ),
        BuildError::DiskFull { .. } => {
            (507, "disk.full", "free some space (`podman system df`), then try again")
        }
        BuildError::Failed { .. } => (424, "image.build_failed", "the lines above say why; then try again"),
        BuildError::TooSlow { .. } => (
            424,
            "image.build_slow",
            "try again: what was finished is kept; a slow network is the usual reason",
        ),
        BuildError::Scratch { .. } => (424, "image.build_scratch", "`ls -ld /var/tmp; df -h /var/tmp`"),
    };
    let cause = std::error::Error::source(error).map(ToString::to_string);
    let problem = Problem::new(status, code, title).hint(hint);
    match cause {
        Some(cause) => problem.detail(cause),
        None => problem,
    }
}

/// An image as clients see it.
pub fn view(image: ImageInfo, current: &str, frames: &[Frame]) -> ImageView {
    let label = |name: &str| image.labels.get(name).cloned().unwrap_or_default();
    let inputs = label(LABEL_INPUTS);
    ImageView {
        current: !inputs.is_empty() && inputs == current,
        inputs,
        opencode: label(LABEL_OPENCODE),
        frames: frames
            .iter()
            .filter(|frame| frame.image_id == image.id)
            .map(|frame| frame.name.to_string())
            .collect(),
        id: image.id,
        tags: image.tags,
        size_bytes: image.size_bytes,
        created_at: image.created_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    #[tokio::test]
    async fn the_end_comes_after_everything_that_was_said_before_it() {
        let (tell, told) = mpsc::channel(8);
        let work: Work = Box::pin(async move {
            for number in 1..=3 {
                let _ = tell.send(BuildProgress::Step { number, of: 3, text: "x".into() }).await;
            }
            BuildLine::Failed { problem: Problem::new(424, "image.build_failed", "no") }
        });
        let lines: Vec<_> = lines(work, told).map(|line| line.expect("a line")).collect().await;
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(matches!(lines[2], BuildLine::Step { number: 3, .. }), "{lines:?}");
        assert!(matches!(lines[3], BuildLine::Failed { .. }), "{lines:?}");
    }
}
