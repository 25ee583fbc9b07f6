//! `mimir image …`

mod project;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::time::{Instant, interval};

use super::frame::{short, tell_of_images};
use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome};
use crate::cli::json::ImageInputs;
use crate::cli::live;
use crate::cli::output::Out;
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column, inked};
use crate::client::GatewayClient;
use crate::model::kit::Kit;
use crate::model::quantity::{age, size};
use crate::wire::images::{BuildImage, BuildLine};
use crate::wire::problem::Problem;

pub use project::proposal;

/// A step that takes longer is told of when it is over.
const LONG: Duration = Duration::from_secs(2);

/// Verbs of images.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    Build(BuildArgs),
    /// The frame images of this machine
    #[command(alias = "ls")]
    List,
    /// The hash of what this mimir builds its image from; for scripts that keep images
    Inputs,
}

/// Build the frame image, or load it where it came with mimir; seconds when nothing changed, some minutes the first time
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Build on this image instead of the one that is found by itself
    #[arg(long, value_name = "IMAGE")]
    base: Option<String>,
    /// Then an image for projects that need more: rust, go, java, php, ruby, playwright, python
    #[arg(long, value_name = "TOOL", value_delimiter = ',', value_parser = kit)]
    with: Vec<Kit>,
    /// Then an image for this project, with what its .mimir/Containerfile adds, or else its devcontainer.json
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = ".", value_hint = clap::ValueHint::DirPath)]
    project: Option<PathBuf>,
    /// Build even if nothing changed
    #[arg(long)]
    force: bool,
    /// Show what every step prints
    #[arg(long, short)]
    verbose: bool,
}

pub async fn run(command: ImageCommand, context: &Context) -> Outcome {
    match command {
        ImageCommand::Build(args) => {
            let gateway = context.gateway().await?;
            let wanted = project::wanted(&args.with, args.project.as_deref())?;
            let (project, remarks) =
                wanted.map_or((None, Vec::new()), |wanted| (Some(wanted.image), wanted.remarks));
            let request = BuildImage { base: args.base, force: args.force, project };
            build_with(&gateway, &request, args.verbose, context).await?;
            if let Ok(frames) = gateway.frames().await {
                tell_of_images(&frames, context);
            }
            if let Some(image) = request.project {
                context.out.say(format!(
                    "frames with it: `mimir frame create --image {}:{}`",
                    project::IMAGE,
                    image.name
                ));
            }
            remarks.iter().for_each(|remark| context.out.say(clean(remark)));
            Ok(DONE)
        }
        ImageCommand::List => list(context).await,
        ImageCommand::Inputs => {
            let inputs = crate::daemon::image_inputs();
            if context.out.json {
                context.out.document(&ImageInputs { inputs })?;
            } else {
                context.out.line(&inputs)?;
            }
            Ok(DONE)
        }
    }
}

fn kit(word: &str) -> Result<Kit, String> {
    word.parse().map_err(|_| format!("the tools are {}", Kit::names()))
}

/// Builds the image, with progress.
pub async fn build(gateway: &GatewayClient, request: &BuildImage, context: &Context) -> Result<(), Failure> {
    build_with(gateway, request, false, context).await
}

async fn build_with(
    gateway: &GatewayClient,
    request: &BuildImage,
    verbose: bool,
    context: &Context,
) -> Result<(), Failure> {
    let out = &context.out;
    let mut lines = gateway.build_image(request).await?;
    let mut progress = Progress::new(out);
    let mut tail: Vec<String> = Vec::new();
    let mut tick = interval(live::TICK);
    loop {
        let line = tokio::select! {
            line = lines.next() => line?,
            _ = tick.tick(), if out.is_live() => { progress.draw(); continue; }
        };
        let Some(line) = line else { break };
        if out.json {
            out.object(&line)?;
        }
        match line {
            BuildLine::Step { number, of, text } => progress.step(number, of, &text),
            BuildLine::Output { text } => {
                if verbose {
                    out.say(format!("  {}", clean(&text)));
                }
                progress.says(&text);
                tail.push(text);
                let surplus = tail.len().saturating_sub(12);
                tail.drain(..surplus);
            }
            BuildLine::Done { image, built, loaded, base } => {
                progress.end_of_step();
                if !out.json {
                    let name = image.tags.first().map_or(short(&image.id), String::as_str);
                    out.line(format!("{name} {}", short(&image.id)))?;
                    let (what, how) = match (built, loaded) {
                        (true, _) => ("built", "on"),
                        (false, true) => ("loaded", "from"),
                        (false, false) => ("nothing had changed", "on"),
                    };
                    let is_news = built || loaded;
                    let time = if is_news && out.is_watched() { progress.whole() } else { String::new() };
                    out.say(format!(
                        "{what}: opencode {}, {}, {how} {base}{time}",
                        image.opencode,
                        size(image.size_bytes)
                    ));
                }
                return Ok(());
            }
            BuildLine::Failed { problem } => {
                out.clear_progress();
                if !verbose {
                    tail.iter().for_each(|text| out.say(format!("  {}", clean(text))));
                }
                return Err(problem.into());
            }
        }
    }
    out.clear_progress();
    Err(Problem::new(503, "image.build_lost", "the build ended without saying how")
        .hint("`mimir image build` goes on where it stopped; `mimir image list` shows what is there")
        .into())
}

/// How far a build is, for whoever watches: the step that runs, and a line for each that took a while.
struct Progress<'a> {
    out: &'a Out,
    begun: Instant,
    step: String,
    step_begun: Instant,
    printed: String,
}

impl<'a> Progress<'a> {
    fn new(out: &'a Out) -> Self {
        let now = Instant::now();
        let step = "building the image".to_owned();
        Self { out, begun: now, step, step_begun: now, printed: String::new() }
    }

    fn step(&mut self, number: u32, of: u32, text: &str) {
        self.end_of_step();
        self.step_begun = Instant::now();
        if !self.out.is_live() {
            self.step = match of {
                0 => format!("preparing the image: {text}"),
                _ => format!("building the image {number}/{of}: {text}"),
            };
            return self.out.say(clipped(&clean(&self.step)));
        }
        self.step = match of {
            0 => clean(text),
            _ => format!("{number}/{of} {}", clean(text)),
        };
        self.draw();
    }

    fn says(&mut self, text: &str) {
        self.printed = clean(text.trim());
        self.draw();
    }

    fn draw(&self) {
        let (step, whole) = (self.step_begun.elapsed(), self.begun.elapsed());
        let mut time = live::seconds(step);
        if whole > step + LONG && self.out.live_width() >= 60 {
            time.push_str(&format!(" of {}", live::seconds(whole)));
        }
        // The step keeps two thirds of the line; what it prints last gets the rest.
        let room = self.out.live_width().saturating_sub(time.len() + 8);
        let step = live::fit(&self.step, room * 2 / 3);
        self.out.progress(&format!("{step}  {}", self.printed), &time);
    }

    /// A step that took long stays on the screen with its time.
    fn end_of_step(&mut self) {
        let took = self.step_begun.elapsed();
        self.printed.clear();
        if took >= LONG && self.out.is_live() {
            let room = self.out.live_width().saturating_sub(5);
            self.out.say(format!("  ✓ {}", live::with_end(&self.step, &live::seconds(took), room)));
        }
        self.out.clear_progress();
    }

    fn whole(&self) -> String {
        format!(", in {}", live::seconds(self.begun.elapsed()))
    }
}

/// A step is a whole command of the recipe; its beginning tells what it does.
fn clipped(text: &str) -> String {
    live::fit(text, 110)
}

async fn list(context: &Context) -> Outcome {
    let images = context.gateway().await?.images().await?;
    if context.out.json {
        context.out.document(&images)?;
        return Ok(DONE);
    }
    if images.is_empty() {
        context.out.say("no frame image on this machine; `mimir image build` makes one");
        return Ok(DONE);
    }
    let mut table = Table::new(&[
        column("IMAGE"),
        column("CURRENT"),
        column("OPENCODE").spare(1),
        column("SIZE").right().spare(3),
        column("AGE").right().spare(4),
        column("FRAMES").shrinks().spare(2),
        column("TAGS").shrinks().spare(5),
    ]);
    for image in &images {
        let current = if image.current { inked(Ink::Green, "yes") } else { "no".into() };
        let frames = if image.frames.is_empty() { "-".to_owned() } else { image.frames.join(", ") };
        table.row(vec![
            short(&image.id).into(),
            current,
            image.opencode.as_str().into(),
            size(image.size_bytes).into(),
            age(image.created_at, context.now_ms()).into(),
            frames.into(),
            image.tags.join(", ").into(),
        ]);
    }
    context.out.table(&table)?;
    if !images.iter().any(|image| image.current) {
        context.out.say("none of them belongs to this version of mimir; `mimir image build` makes it");
    }
    Ok(DONE)
}
