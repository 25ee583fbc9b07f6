//! `mimir frame create`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::verbs;
use crate::cli::ask;
use crate::cli::commands::image;
use crate::cli::context::Context;
use crate::cli::environment;
use crate::cli::exit::{DONE, Failure, Outcome, usage};
use crate::cli::json::FrameMade;
use crate::cli::names;
use crate::cli::table::clean;
use crate::client::{ClientError, FrameVerb, GatewayClient};
use crate::daemon;
use crate::model::git::GitMode;
use crate::model::names::{FrameName, suggest};
use crate::model::network::NetworkMode;
use crate::model::policy::Rule;
use crate::model::quantity::{cpus, memory, pids, span};
use crate::wire::frames::{CreateFrame, FrameNote, FrameSummary};
use crate::wire::images::BuildImage;

/// Make a frame for a folder and start its agent
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What to call it; the folder's name when absent
    #[arg(value_parser = FrameName::parse)]
    name: Option<FrameName>,
    /// The project's folder: the only one of this machine that the agent sees
    #[arg(long, value_name = "PATH", default_value = ".", value_hint = clap::ValueHint::DirPath)]
    workspace: PathBuf,
    /// A registered project, instead of a folder
    #[arg(long, conflicts_with = "workspace", add = names::projects())]
    project: Option<String>,
    /// The image to make it from
    #[arg(long)]
    image: Option<String>,
    /// What it may reach: sealed (models only), allow (and listed hosts), open
    #[arg(long, value_name = "MODE", add = names::networks())]
    network: Option<NetworkMode>,
    /// A host, or a group such as `npm`, that it may reach in mode `allow`; may be repeated
    #[arg(long, value_name = "HOST")]
    allow: Vec<String>,
    /// A model provider that it may use besides that of the default model; may be repeated
    #[arg(long = "provider", value_name = "PROVIDER")]
    providers: Vec<String>,
    /// Give it this machine's graphics cards, which loosens its isolation
    #[arg(long)]
    gpu: bool,
    /// What becomes of what it pushes: direct (to the forge), gate (it waits until you have looked)
    #[arg(long, value_name = "MODE")]
    git: Option<GitMode>,
    /// Its repository at a forge, such as github.com/me/blog; the folder's origin when absent
    #[arg(long, value_name = "REPOSITORY")]
    repo: Option<String>,
    /// Processor cores, such as 1.5
    #[arg(long, value_name = "N", value_parser = cpus::parse)]
    cpus: Option<u32>,
    /// Memory, such as 4g
    #[arg(long, value_name = "SIZE", value_parser = memory::parse)]
    memory: Option<u64>,
    /// Processes and threads
    #[arg(long, value_name = "N", value_parser = pids::parse)]
    pids: Option<u32>,
    /// Destroy it by itself after --ttl
    #[arg(long)]
    throwaway: bool,
    /// How long a throwaway frame lives, such as 2h
    #[arg(long, value_name = "DURATION", value_parser = span::parse_lifetime, requires = "throwaway")]
    ttl: Option<Duration>,
    /// Environment inside; K alone takes the value from here. May be repeated
    #[arg(long, value_name = "K=V")]
    env: Vec<String>,
    /// Start it at once (this is what happens anyway)
    #[arg(long, overrides_with = "no_start")]
    start: bool,
    /// Only make it
    #[arg(long)]
    no_start: bool,
    /// A frame file (YAML) with the same settings; options win over it
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Rules (YAML) for what its agent asks: which prompts are allowed, denied or put to you
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    policy: Option<PathBuf>,
}

pub async fn run(args: CreateArgs, context: &Context) -> Outcome {
    let start = !args.no_start;
    if context.elsewhere.is_some() && args.project.is_none() && !args.workspace.is_absolute() {
        return Err(usage("a gateway elsewhere cannot use a folder of this machine")
            .hint("name one there: `--workspace /absolute/path`, or `--project NAME` (`mimir projects list`)")
            .into());
    }
    let mut request = request(args, &|name| std::env::var(name).ok())?;
    request.settings = environment::of_request(&context.load, "frames.");
    let folder = request.workspace.as_deref().filter(|_| is_usual(&request) && context.elsewhere.is_none());
    let proposal = folder.and_then(|folder| image::proposal(Path::new(folder)));
    let gateway = context.gateway().await?;
    let frame = create(&gateway, &request, context).await?;
    let notes = tell(&gateway, &frame.name, context).await;
    let remarks = Vec::from_iter(proposal);
    if !start {
        if context.out.json {
            context.out.document(&FrameMade { frame, notes, remarks })?;
        } else {
            context.out.line(&frame.name)?;
            context.out.say(format!("start it with `mimir frame start {}`", frame.name));
            remarks.iter().for_each(|remark| context.out.say(clean(remark)));
        }
        return Ok(DONE);
    }
    let frame = verbs::bring(&gateway, &frame.name, FrameVerb::Start, verbs::PATIENCE, context).await?;
    if context.out.json {
        context.out.document(&FrameMade { frame, notes, remarks })?;
        return Ok(DONE);
    }
    context.out.line(&frame.name)?;
    context.out.say(format!(
        "it runs: agent on 127.0.0.1:{}, preview on 127.0.0.1:{}\n  ask it      mimir send --frame {} \"…\"\n  look at it  mimir frame attach {}",
        frame.agent_port, frame.preview_port, frame.name, frame.name
    ));
    remarks.iter().for_each(|remark| context.out.say(clean(remark)));
    Ok(DONE)
}

/// Says what the gateway noted about a folder that it has just been given: what stays out, and whether git works.
pub(super) async fn tell(gateway: &GatewayClient, name: &str, context: &Context) -> Vec<FrameNote> {
    // Notes can be read later; they are no reason to fail.
    let mut notes = gateway.notes(name).await.unwrap_or_default();
    let begin = notes.iter().rposition(|note| note.code == "moved").map_or(0, |moved| moved + 1);
    let notes = notes.split_off(begin);
    for note in &notes {
        context.out.warn(clean(&note.text));
    }
    notes
}

/// Creates it; when the image is missing, loads the one that came with mimir, or offers to build it where somebody is
/// there.
async fn create(
    gateway: &GatewayClient,
    request: &CreateFrame,
    context: &Context,
) -> Result<FrameSummary, Failure> {
    let first = context.out.while_waiting("creating the frame", gateway.create_frame(request)).await;
    match first {
        // It was killed since it answered, and has not heard of this.
        Err(ClientError::NoGateway { .. }) => {
            let gateway = context.gateway().await?;
            Ok(context.out.while_waiting("creating the frame", gateway.create_frame(request)).await?)
        }
        Err(ClientError::Refused(problem)) if problem.code == "image.missing" && is_usual(request) => {
            let question = "The frame image is not on this machine yet. Build it now? It takes some minutes.";
            let is_here = context.elsewhere.is_none() && daemon::image_is_shipped();
            let may_build = || ask::can_ask(&context.out) && ask::yes_or_no(&context.out, question, true);
            if !(is_here || may_build()) {
                return Err((*problem).into());
            }
            image::build(gateway, &BuildImage::default(), context).await?;
            Ok(context.out.while_waiting("creating the frame", gateway.create_frame(request)).await?)
        }
        other => Ok(other?),
    }
}

/// Whether no other image than the configured one was asked for.
fn is_usual(request: &CreateFrame) -> bool {
    request.image.is_none() && !request.settings.contains_key("frames.image")
}

fn request(args: CreateArgs, env: &dyn Fn(&str) -> Option<String>) -> Result<CreateFrame, Failure> {
    let workspace = match &args.project {
        Some(_) => None,
        None => Some(absolute(&args.workspace)?),
    };
    let config_yaml = args.config.as_deref().map(read_frame_file).transpose()?;
    let name = match (&args.name, &args.project, &workspace) {
        (Some(name), _, _) => name.to_string(),
        (None, Some(project), _) => project.clone(),
        (None, None, Some(folder)) => name_from(folder)?,
        (None, None, None) => return Err(usage("the frame needs a name").into()),
    };
    Ok(CreateFrame {
        name,
        workspace,
        project: args.project,
        image: args.image,
        network: args.network,
        allow: args.allow,
        providers: args.providers,
        gpu: args.gpu,
        git: args.git,
        repo: args.repo,
        cpus: args.cpus.map(|milli| f64::from(milli) / 1000.0),
        memory_bytes: args.memory,
        pids: args.pids,
        env: environment(&args.env, env)?,
        throwaway: args.throwaway,
        ttl_seconds: args.ttl.map(|ttl| ttl.as_secs()),
        start: !args.no_start,
        settings: BTreeMap::new(),
        config_yaml,
        rules: args.policy.as_deref().map(read_policy).transpose()?.unwrap_or_default(),
    })
}

/// Absolute, without looking: whether it is a good folder is the gateway's to say.
pub(super) fn absolute(path: &Path) -> Result<String, Failure> {
    let absolute = std::path::absolute(path).map_err(|error| {
        usage(format!("`{}` cannot be a folder", path.display())).detail(error.to_string())
    })?;
    let shown = absolute.display().to_string();
    // `.` at the end would be the folder's name otherwise.
    let plain: PathBuf = absolute.components().collect();
    plain.into_os_string().into_string().map_err(|_| {
        usage(format!("the path `{shown}` is not UTF-8")).hint("use a folder whose name is plain text").into()
    })
}

fn name_from(folder: &str) -> Result<String, Failure> {
    let last = Path::new(folder).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    suggest(last).ok_or_else(|| {
        usage(format!("the folder {folder} has no name that a frame could take"))
            .hint("give one: `mimir frame create NAME`")
            .into()
    })
}

fn read_frame_file(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        let status = if error.kind() == std::io::ErrorKind::NotFound { 404 } else { 400 };
        crate::wire::problem::Problem::new(
            status,
            "frame.file_unreadable",
            format!("the frame file {} cannot be read", path.display()),
        )
        .detail(error.to_string())
        .hint("--config takes a YAML file; options on the command line do the same")
        .into()
    })
}

fn read_policy(path: &Path) -> Result<Vec<Rule>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let status = if error.kind() == std::io::ErrorKind::NotFound { 404 } else { 400 };
        let title = format!("the policy {} cannot be read", path.display());
        Failure::from(
            crate::wire::problem::Problem::new(status, "frame.policy", title)
                .detail(error.to_string())
                .hint("--policy takes a YAML file with `rules:`, see docs/approvals.md"),
        )
    })?;
    crate::config::rules::policy(&text, path).map_err(|error| {
        usage(format!("the policy {} does not fit", path.display()))
            .detail(error.to_string())
            .hint("for example `rules: [{tool: bash, command: \"git push *\", action: deny}]`")
            .into()
    })
}

fn environment(
    given: &[String],
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut all = BTreeMap::new();
    for pair in given {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => (
                pair.as_str(),
                env(pair).ok_or_else(|| {
                    usage(format!("--env {pair}: there is no `{pair}` in this environment"))
                        .hint(format!("write it as --env {pair}=VALUE"))
                })?,
            ),
        };
        let good = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good {
            return Err(usage(format!("`{name}` cannot be a name in the environment"))
                .hint("use letters, digits and _, such as --env RUST_LOG=debug")
                .into());
        }
        all.insert(name.to_owned(), value);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_given_or_taken_from_here() {
        let here = |name: &str| (name == "TOKEN").then(|| "secret".to_owned());
        let given = ["A=1".to_owned(), "B=x=y".to_owned(), "TOKEN".to_owned()];
        let all = environment(&given, &here).expect("good names");
        assert_eq!(all.get("B").map(String::as_str), Some("x=y"));
        assert_eq!(all.get("TOKEN").map(String::as_str), Some("secret"));
        for bad in ["NOPE", "=x", "1A=x", "A-B=x"] {
            assert!(environment(&[bad.to_owned()], &here).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_frame_is_named_after_its_folder() {
        assert_eq!(name_from("/home/me/My API").ok().as_deref(), Some("my-api"));
        assert!(name_from("/").is_err());
    }
}
