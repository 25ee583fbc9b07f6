//! Whom a message is for.

use std::path::{Path, PathBuf};

use crate::cli::context::Context;
use crate::cli::exit::{Failure, usage};
use crate::client::GatewayClient;
use crate::model::names::{FrameName, ProjectName};
use crate::wire::frames::FrameSummary;
use crate::wire::problem::Problem;

/// The frame that is meant, by name, by project, or by the folder we are in.
pub async fn choose(
    gateway: &GatewayClient,
    frame: Option<&FrameName>,
    project: Option<&ProjectName>,
    context: &Context,
) -> Result<String, Failure> {
    if let Some(frame) = frame {
        return Ok(frame.to_string());
    }
    if let Some(project) = project {
        return of_project(project.as_str(), gateway.project(project.as_str()).await?.frames);
    }
    let frames = gateway.frames().await?;
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let name = of_folder(&frames, &here)?;
    context.out.say(context.dim(&format!("to {name}")));
    Ok(name)
}

fn of_project(project: &str, mut frames: Vec<String>) -> Result<String, Failure> {
    match (frames.len(), frames.pop()) {
        (1, Some(frame)) => Ok(frame),
        (0, _) | (_, None) => {
            Err(Problem::new(404, "frame.not_found", format!("project {project} has no frame"))
                .hint(format!("`mimir frame create --project {project}` makes one"))
                .into())
        }
        (_, Some(last)) => {
            frames.push(last);
            Err(usage(format!("project {project} has {} frames: {}", frames.len(), frames.join(", ")))
                .hint(format!("say which: `mimir send --frame {} \"…\"`", frames[0]))
                .into())
        }
    }
}

/// The frame whose workspace holds this folder; the innermost when there are several.
fn of_folder(frames: &[FrameSummary], here: &Path) -> Result<String, Failure> {
    let around: Vec<&FrameSummary> = frames
        .iter()
        .filter(|frame| !frame.workspace.is_empty() && here.starts_with(&frame.workspace))
        .collect();
    let innermost = around.iter().map(|frame| frame.workspace.len()).max();
    let nearest: Vec<&str> = around
        .iter()
        .filter(|frame| Some(frame.workspace.len()) == innermost)
        .map(|frame| frame.name.as_str())
        .collect();
    match nearest.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] if frames.is_empty() => Err(Problem::new(404, "frame.not_found", "there is no frame yet")
            .hint("`mimir frame create` makes one for this folder and starts it")
            .into()),
        [] => Err(usage(format!("no frame has the folder {}", here.display()))
            .hint(format!(
                "say which: `mimir send --frame {} \"…\"`, or make one for this folder: `mimir frame create`",
                frames[0].name
            ))
            .into()),
        [first, ..] => Err(usage(format!("several frames have this folder: {}", nearest.join(", ")))
            .hint(format!("say which: `mimir send --frame {first} \"…\"`"))
            .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::frame::{Desired, FrameState};
    use crate::model::network::NetworkMode;

    fn frame(name: &str, workspace: &str) -> FrameSummary {
        FrameSummary {
            id: String::new(),
            name: name.to_owned(),
            state: FrameState::Running,
            desired: Desired::Running,
            reason: None,
            agent: None,
            status: Default::default(),
            engine: Default::default(),
            url: None,
            workspace: workspace.to_owned(),
            agent_port: 1,
            preview_port: 2,
            network: Some(NetworkMode::Allow),
            created_at: 0,
            last_active_at: 0,
            expires_at: None,
            cost_microusd: 0,
            project: None,
            origin: Default::default(),
            run: None,
            behind: false,
            rebuild: None,
        }
    }

    #[test]
    fn the_innermost_frame_around_this_folder_is_meant() {
        let frames = [frame("all", "/src"), frame("blog", "/src/blog"), frame("api", "/src/blog-api")];
        let of = |here: &str| of_folder(&frames, Path::new(here));
        assert_eq!(of("/src/blog/posts").ok().as_deref(), Some("blog"));
        assert_eq!(of("/src/blog-api").ok().as_deref(), Some("api"));
        assert_eq!(of("/src/other").ok().as_deref(), Some("all"));
        assert_eq!(of("/elsewhere").map_err(|failure| failure.problem.status), Err(400));
        assert_eq!(of_folder(&[], Path::new("/src")).map_err(|failure| failure.problem.status), Err(404));
        let twins = [frame("a", "/src"), frame("b", "/src")];
        let problem = of_folder(&twins, Path::new("/src")).expect_err("nobody can tell").problem;
        assert!(problem.title.contains("a, b"), "{}", problem.title);
    }
}
