//! Building the frame image out of what this program carries.

mod base;
mod inputs;
mod made;
mod project;
mod run;
mod shipped;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use super::engine::EngineCommand;
use crate::clock::entropy;
use crate::outbound::{certificates_file, trusted_certificates};
pub use base::BASE_NAME;
pub use inputs::{inputs_hash, is_of_our_recipe};
pub use made::{List as MadeList, MADE, begin as begin_made, read as read_made};
pub use project::{LABEL_PROJECT, LABEL_TOOLS, PROJECT_IMAGE, ProjectRecipe};
use run::Runner;
pub use shipped::is_shipped;

/// The name of frame images; the tag is the start of the hash of what they were made from.
pub const IMAGE_NAME: &str = "localhost/mimir-frame";
/// A cold build downloads some 150 MB.
const BUILD_DEADLINE: Duration = Duration::from_secs(3600);

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildRequest {
    /// A Debian image to build on; found by itself when absent.
    pub base: Option<String>,
    /// An image on top of the frame image, for one project.
    pub project: Option<ProjectRecipe>,
    /// Build even if an image of the same inputs is there, and without the engine's cache.
    pub force: bool,
    /// In which folder the frame image may lie as an archive; where packages put it when absent.
    pub shipped: Option<PathBuf>,
    /// Where temporary files go (some 150 MB); /var/tmp when absent.
    pub scratch: Option<PathBuf>,
    /// The search path of the programs that are called; ours when absent.
    pub search_path: Option<OsString>,
    /// The file of the home in which it is noted what was made for it.
    pub made: Option<PathBuf>,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildProgress {
    /// A step began.
    Step {
        /// Which, from 1; 0 for preparations.
        number: u32,
        /// Of how many; 0 when that is not known.
        of: u32,
        /// What it does.
        text: String,
    },
    /// What a step prints.
    Output {
        /// One line.
        text: String,
    },
}

/// The image that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltImage {
    /// The engine's id (`sha256:` left off).
    pub id: String,
    /// Its names.
    pub tags: Vec<String>,
    /// Whether anything had to be built.
    pub built: bool,
    /// Whether it came from an archive.
    pub loaded: bool,
    /// Which base was used and why; from which archive it came.
    pub base: String,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Install the engine or repair it.
    #[error("the container engine's program {program} cannot be run")]
    NoEngine {
        /// Which.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Name another base.
    #[error("the base image {reference} is not on this machine and cannot be fetched: {why}")]
    NoSuchBase {
        /// As given.
        reference: String,
        /// The engine's words.
        why: String,
    },
    /// Install mmdebstrap, or name a base, or get a network.
    #[error("there is no Debian base to build on: {tried}")]
    NoBase {
        /// Everything that was tried.
        tried: String,
    },
    /// Free some space.
    #[error("there is no disk space left to {action}")]
    DiskFull {
        /// What it was to do.
        action: &'static str,
    },
    /// Read what it printed.
    #[error("could not {action}: {last}")]
    Failed {
        /// What it was to do.
        action: &'static str,
        /// Its last lines.
        last: String,
    },
    /// It hangs, or the network is very slow.
    #[error("gave up to {action} after {seconds} s: {last}")]
    TooSlow {
        /// What it was to do.
        action: &'static str,
        /// The deadline.
        seconds: u64,
        /// The last lines.
        last: String,
    },
    /// Correct the project's own Containerfile.
    #[error("the project's Containerfile cannot be used: {why}")]
    Containerfile {
        /// What is wrong with it.
        why: String,
    },
    /// Make the folder writable.
    #[error("cannot write temporary files in {folder}")]
    Scratch {
        /// Where.
        folder: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Makes sure that the frame image of this program's inputs is there, under its tag and as `latest`; then that the
/// project's image is, if one is wanted.
///
/// Dropping the future ends the programs it runs. May be called again after any interruption.
///
/// # Errors
/// See [`BuildError`]; nothing is tagged then.
pub async fn build(
    engine: &EngineCommand,
    request: BuildRequest,
    progress: mpsc::Sender<BuildProgress>,
) -> Result<BuiltImage, BuildError> {
    engine.ensure_usable().await;
    let runner = Runner::new(engine, request.search_path.clone(), progress);
    let frame_image = build_frame_image(&runner, &request).await?;
    note(&request, &frame_image);
    let Some(project) = &request.project else { return Ok(frame_image) };
    let image = build_on(&runner, &request, project, frame_image).await?;
    note(&request, &image);
    Ok(image)
}

/// Whose it is, for the day on which the home is taken away. One that was there may be another home's.
fn note(request: &BuildRequest, image: &BuiltImage) {
    if let Some(file) = request.made.as_deref().filter(|_| image.built || image.loaded)
        && let Err(error) = made::note(file, &image.id)
    {
        tracing::warn!("image {} cannot be noted in {}: {error}", image.id, file.display());
    }
}

/// The project's image, on that frame image.
async fn build_on(
    runner: &Runner<'_>,
    request: &BuildRequest,
    project: &ProjectRecipe,
    frame_image: BuiltImage,
) -> Result<BuiltImage, BuildError> {
    let text = project.text(&frame_image.id, certificates_file().is_some())?;
    let tag = format!("{PROJECT_IMAGE}:{}", ProjectRecipe::tag(&text));
    let named = format!("{PROJECT_IMAGE}:{}", project.name);
    let there = runner.ask(&["image", "inspect", "--format", "{{.Id}}", &tag]).await?;
    let (id, built) = match there {
        Ok(id) if !request.force => (id, false),
        _ => {
            let scratch = Scratch::new(request.scratch.as_deref())?;
            let recipe = scratch.folder.join("Containerfile");
            std::fs::write(&recipe, &text).map_err(|source| scratch.error(source))?;
            let id_file = scratch.folder.join("image-id");
            let mut arguments = engine_arguments(&recipe, &tag, request.force, &id_file);
            arguments.push(scratch.folder.display().to_string());
            let steps =
                text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase())).count();
            runner.build(&arguments, u32::try_from(steps).unwrap_or(0), BUILD_DEADLINE).await?;
            (std::fs::read_to_string(&id_file).map_err(|source| scratch.error(source))?, true)
        }
    };
    let id = id.trim().trim_start_matches("sha256:").to_owned();
    runner.engine("name the image", &["tag", &id, &named]).await?;
    Ok(BuiltImage { id, tags: vec![named, tag], built, loaded: false, base: "the frame image".into() })
}

async fn build_frame_image(runner: &Runner<'_>, request: &BuildRequest) -> Result<BuiltImage, BuildError> {
    let hash = inputs_hash();
    let tag = format!("{IMAGE_NAME}:{}", &hash[..12]);
    let latest = format!("{IMAGE_NAME}:latest");
    let tags = vec![tag.clone(), latest.clone()];

    // A base that is named may be another one than last time; the engine's own cache knows.
    if !request.force && request.base.is_none() {
        let base = "the base it was built with".to_owned();
        let there = match existing(runner, &tag, &hash).await? {
            Some(id) => Some((id, false, base)),
            None => {
                from_archive(runner, request, &tag, &hash).await?.map(|(id, archive)| (id, true, archive))
            }
        };
        if let Some((id, loaded, base)) = there {
            runner.engine("name the image", &["tag", &id, &latest]).await?;
            return Ok(BuiltImage { id, tags, built: false, loaded, base });
        }
    }

    let scratch = Scratch::new(request.scratch.as_deref())?;
    inputs::unpack(&scratch.folder).map_err(|source| scratch.error(source))?;
    let base = base::find(runner, request.base.as_deref(), &scratch).await?;
    let id_file = scratch.folder.join("image-id");
    let arguments = build_arguments(&base.reference, &hash, &tag, request.force, &scratch.folder, &id_file);
    runner.build(&arguments, inputs::steps(), BUILD_DEADLINE).await?;

    let id = std::fs::read_to_string(&id_file).map_err(|source| scratch.error(source))?;
    let id = id.trim().trim_start_matches("sha256:").to_owned();
    runner.engine("name the image", &["tag", &id, &latest]).await?;
    Ok(BuiltImage { id, tags, built: true, loaded: false, base: base.why })
}

/// The image from the archive that came with the program, if one did, and where that is. One that is of no use is said
/// so, and costs no more than the time to try it.
async fn from_archive(
    runner: &Runner<'_>,
    request: &BuildRequest,
    tag: &str,
    hash: &str,
) -> Result<Option<(String, String)>, BuildError> {
    let Some(archive) = shipped::find(request.shipped.as_deref(), hash) else { return Ok(None) };
    match shipped::load(runner, &archive).await {
        Ok(()) => {}
        Err(error @ (BuildError::NoEngine { .. } | BuildError::DiskFull { .. })) => return Err(error),
        Err(error) => {
            runner.say(&format!("{error}; building it instead")).await;
            return Ok(None);
        }
    }
    let archive = archive.display().to_string();
    let Some(id) = existing(runner, tag, hash).await? else {
        let processor = std::env::consts::ARCH;
        let text = format!("{archive} holds another image, or none for {processor}; building it instead");
        runner.say(&text).await;
        return Ok(None);
    };
    Ok(Some((id, archive)))
}

/// The image of that tag, if its label agrees and this machine can run it: tags can be moved, archives be another machine's.
async fn existing(runner: &Runner<'_>, tag: &str, hash: &str) -> Result<Option<String>, BuildError> {
    let format = r#"{{.Id}} {{index .Labels "io.mimir.inputs"}} {{.Architecture}}"#;
    let Ok(told) = runner.ask(&["image", "inspect", "--format", format, tag]).await? else { return Ok(None) };
    let mut words = told.split_whitespace();
    let (id, label, architecture) = (words.next(), words.next(), words.next());
    let runs_here = match (architecture, our_architecture()) {
        (Some(theirs), Some(ours)) => theirs == ours,
        // Nobody said it: it was made here.
        _ => true,
    };
    let ours = id.filter(|_| label == Some(hash) && runs_here);
    Ok(ours.map(|id| id.trim_start_matches("sha256:").to_owned()))
}

/// This machine's kind of processor as engines call it; none where we do not know.
fn our_architecture() -> Option<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Some("amd64"),
        "aarch64" => Some("arm64"),
        _ => None,
    }
}

fn build_arguments(
    base: &str,
    hash: &str,
    tag: &str,
    force: bool,
    context: &Path,
    id_file: &Path,
) -> Vec<String> {
    let mut arguments = engine_arguments(&context.join(inputs::CONTAINERFILE), tag, force, id_file);
    for (name, value) in [("BASE_IMAGE", base), ("MIMIR_INPUTS_HASH", hash)] {
        arguments.extend(["--build-arg".to_owned(), format!("{name}={value}")]);
    }
    arguments.push(context.display().to_string());
    arguments
}

/// The host's certificates as a file beside the build's other ones: the host's own may hold a key, too, and lie under a
/// path that this option cannot say.
fn lent_certificates(id_file: &Path) -> Option<PathBuf> {
    let file = id_file.with_file_name("host-ca.crt");
    std::fs::write(&file, trusted_certificates()?).ok()?;
    Some(file)
}

/// What every build on this machine is told; the context is to follow.
fn engine_arguments(recipe: &Path, tag: &str, force: bool, id_file: &Path) -> Vec<String> {
    let text = |path: &Path| path.display().to_string();
    let mut arguments: Vec<String> =
        ["build", "--format", "docker", "--pull=never", "-f"].map(Into::into).into();
    arguments.push(text(recipe));
    arguments.extend(["-t".to_owned(), tag.to_owned(), "--iidfile".to_owned(), text(id_file)]);
    if force {
        arguments.push("--no-cache".to_owned());
    }
    // Lent to the build only: some networks inspect TLS with a certificate of their own.
    if let Some(file) = lent_certificates(id_file) {
        arguments.extend(["-v".to_owned(), format!("{}:/run/host-ca.crt:ro", file.display())]);
    }
    arguments.extend(machine_arguments());
    arguments
}

/// What this machine needs: limits that we may give, and a network that does not need a device we may not use.
fn machine_arguments() -> Vec<String> {
    use rustix::process::{Resource, getrlimit, getuid};
    let limit = |resource, most: u64| getrlimit(resource).maximum.unwrap_or(most).min(most);
    let (files, processes) = (limit(Resource::Nofile, 1 << 19), limit(Resource::Nproc, 1 << 15));
    let mut arguments = vec![
        "--ulimit".to_owned(),
        format!("nofile={files}:{files}"),
        "--ulimit".to_owned(),
        format!("nproc={processes}:{processes}"),
    ];
    let tun = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun").is_ok();
    if !getuid().is_root() && !tun {
        arguments.push("--network=host".to_owned());
    }
    arguments
}

/// A folder for temporary files that goes with its value.
struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    fn new(parent: Option<&Path>) -> Result<Self, BuildError> {
        // Not /tmp, which may be memory.
        let parent = parent.unwrap_or(Path::new("/var/tmp"));
        let folder = parent.join(format!("mimir-build-{}", hex::encode(entropy::<8>())));
        let scratch = Self { folder };
        let made = std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
            .create(&scratch.folder);
        match made {
            Ok(()) => Ok(scratch),
            Err(source) => Err(scratch.error(source)),
        }
    }

    fn error(&self, source: std::io::Error) -> BuildError {
        if source.kind() == std::io::ErrorKind::StorageFull {
            return BuildError::DiskFull { action: "write the build's files" };
        }
        BuildError::Scratch { folder: self.folder.display().to_string(), source }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("temporary files are left in {}: {error}", self.folder.display());
        }
    }
}

#[cfg(test)]
mod tests;
