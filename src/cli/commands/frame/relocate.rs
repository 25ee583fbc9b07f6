//! `mimir frame move`

use std::path::PathBuf;

use clap::Args;

use super::{create, verbs};
use crate::cli::context::Context;
use crate::cli::exit::{DONE, Outcome};
use crate::cli::json::FrameMade;
use crate::cli::names;
use crate::client::FrameVerb;
use crate::model::frame::Desired;
use crate::model::names::FrameName;
use crate::wire::frames::MoveFrame;

/// Say where a frame's folder is now, after it was moved; conversations stay
#[derive(Debug, Args)]
pub struct MoveArgs {
    /// Which frame
    #[arg(value_parser = FrameName::parse, add = names::frames())]
    name: FrameName,
    /// Its folder; the same one looks anew at its git folder
    #[arg(value_name = "PATH", value_hint = clap::ValueHint::DirPath)]
    folder: PathBuf,
}

pub async fn run(args: &MoveArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let name = args.name.as_str();
    let mut frame =
        gateway.move_frame(name, &MoveFrame { workspace: create::absolute(&args.folder)? }).await?;
    let notes = create::tell(&gateway, name, context).await;
    let runs = frame.desired == Desired::Running;
    if runs {
        frame = verbs::bring(&gateway, name, FrameVerb::Start, verbs::PATIENCE, context).await?;
    }
    if context.out.json {
        context.out.document(&FrameMade { frame, notes, remarks: Vec::new() })?;
        return Ok(DONE);
    }
    context.out.line(format!("{name} works in {} now", crate::cli::table::clean(&frame.workspace)))?;
    if !runs {
        context.out.say(format!("start it with `mimir frame start {name}`"));
    }
    Ok(DONE)
}
