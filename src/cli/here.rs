//! Which frame is meant when nobody names one: that of the folder we are in.

use std::path::{Path, PathBuf};

use super::context::Context;
use super::exit::{Failure, usage};
use crate::client::GatewayClient;
use crate::model::names::FrameName;
use crate::wire::frames::FrameSummary;
use crate::wire::problem::Problem;

/// The frame that is meant, by its name or by the folder we are in; `command` is what to type with a name.
///
/// # Errors
/// When the folder belongs to no frame or to several.
pub async fn frame(
    gateway: &GatewayClient,
    name: Option<&FrameName>,
    command: &dyn Fn(&str) -> String,
    context: &Context,
) -> Result<String, Failure> {
    if let Some(name) = name {
        return Ok(name.to_string());
    }
    let found = of_this_folder(gateway, command, context).await?;
    context.out.say(context.dim(&format!("{}, the frame of this folder", found.name)));
    Ok(found.name)
}

/// The frame of the folder we are in.
///
/// # Errors
/// See [`frame`].
pub async fn of_this_folder(
    gateway: &GatewayClient,
    command: &dyn Fn(&str) -> String,
    context: &Context,
) -> Result<FrameSummary, Failure> {
    if context.elsewhere.is_some() {
        return Err(usage("a gateway elsewhere does not know the folders of this machine")
            .hint(format!("say which frame: `{}`; `mimir frame list` shows them", command("NAME")))
            .into());
    }
    let frames = gateway.frames().await?;
    let name = of_folder(&frames, &current(), command)?;
    let found = frames.into_iter().find(|frame| frame.name == name);
    found.ok_or_else(|| Problem::new(404, "frame.not_found", format!("there is no frame {name}")).into())
}

/// The folder we are in.
pub fn current() -> PathBuf {
    std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"))
}

/// The frame whose workspace holds this folder; the innermost when there are several.
///
/// # Errors
/// When the folder belongs to no frame or to several.
pub fn of_folder(
    frames: &[FrameSummary],
    here: &Path,
    command: &dyn Fn(&str) -> String,
) -> Result<String, Failure> {
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
                "say which: `{}`, or make one for this folder: `mimir frame create`",
                command(&frames[0].name)
            ))
            .into()),
        [first, ..] => Err(usage(format!("several frames have this folder: {}", nearest.join(", ")))
            .hint(format!("say which: `{}`", command(first)))
            .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, workspace: &str) -> FrameSummary {
        let text = serde_json::json!({
            "id": "", "name": name, "state": "running", "desired": "running", "workspace": workspace,
            "agent_port": 1, "preview_port": 2, "network": "allow", "created_at": 0, "last_active_at": 0,
            "cost_microusd": 0,
        });
        serde_json::from_value(text).expect("a frame")
    }

    #[test]
    fn the_innermost_frame_around_this_folder_is_meant() {
        let frames = [frame("all", "/src"), frame("blog", "/src/blog"), frame("api", "/src/blog-api")];
        let command = |name: &str| format!("mimir frame stop {name}");
        let of = |here: &str| of_folder(&frames, Path::new(here), &command);
        assert_eq!(of("/src/blog/posts").ok().as_deref(), Some("blog"));
        assert_eq!(of("/src/blog-api").ok().as_deref(), Some("api"));
        assert_eq!(of("/src/other").ok().as_deref(), Some("all"));
        let nowhere = of("/elsewhere").expect_err("no frame is there").problem;
        assert_eq!(nowhere.status, 400);
        assert!(nowhere.hint.expect("a hint").contains("`mimir frame stop all`"));
        let none = of_folder(&[], Path::new("/src"), &command).expect_err("there is none").problem;
        assert_eq!(none.status, 404);
        let twins = [frame("a", "/src"), frame("b", "/src")];
        let problem = of_folder(&twins, Path::new("/src"), &command).expect_err("nobody can tell").problem;
        assert!(problem.title.contains("a, b"), "{}", problem.title);
    }
}
