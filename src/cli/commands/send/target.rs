//! Whom a message is for.

use crate::cli::context::Context;
use crate::cli::exit::{Failure, usage};
use crate::cli::here;
use crate::client::GatewayClient;
use crate::model::names::{FrameName, ProjectName};
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
    let name =
        here::of_folder(&frames, &here::current(), &|name| format!("mimir send --frame {name} \"…\""))?;
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
