//! `mimir frame ports`

use std::time::Duration;

use clap::Args;
use tokio::time::timeout;

use super::attach::ensure_running;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Failure, Outcome};
use crate::cli::json::FramePorts;
use crate::cli::table::{Table, column};
use crate::cli::{here, names};
use crate::client::{GatewayClient, TerminalOutput};
use crate::model::names::FrameName;
use crate::wire::problem::Problem;
use crate::wire::terminal::{TerminalControl, TerminalNotice, TerminalQuery};

/// The program inside that knows, and the port of a project's server unless somebody chose another one.
const PROGRAM: &str = "mimir-preview";
const USUAL_PORT: &str = "3000";
/// For so long it is waited for, and so much of what it prints is read.
const WITHIN: Duration = Duration::from_secs(20);
const MOST_BYTES: usize = 1 << 20;

/// What listens inside, and which of it the preview shows
#[derive(Debug, Args)]
#[command(
    after_help = "By itself the preview shows port 3000, or else the first port in use that development servers have by
themselves (5173, 8000, 8080, 4200, 5000, …). A choice stays with the frame."
)]
pub struct PortsArgs {
    /// Which frame; the one of this folder when absent
    #[arg(value_parser = FrameName::parse, add = names::frames())]
    name: Option<FrameName>,
    /// From now on show this port alone; `auto` takes that back
    #[arg(long, value_name = "PORT", value_parser = preview)]
    preview: Option<Preview>,
}

/// What the preview is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preview {
    Auto,
    Port(u16),
}

fn preview(word: &str) -> Result<Preview, String> {
    match word.parse::<u16>() {
        _ if word == "auto" => Ok(Preview::Auto),
        Ok(port @ 1..) => Ok(Preview::Port(port)),
        _ => Err("a port is a number from 1 to 65535, or `auto`".to_owned()),
    }
}

pub async fn run(args: &PortsArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let command = |name: &str| format!("mimir frame ports {name}");
    let name = here::frame(&gateway, args.name.as_ref(), &command, context).await?;
    let frame = gateway.frame(&name).await?;
    if !ensure_running(&gateway, &frame, false, context).await? {
        return Ok(FAILED);
    }
    let chosen = match args.preview {
        None => None,
        Some(Preview::Auto) => Some("auto".to_owned()),
        Some(Preview::Port(port)) => Some(port.to_string()),
    };
    let argv = match &chosen {
        None => vec![PROGRAM, "--list", USUAL_PORT],
        Some(word) => vec![PROGRAM, "--choose", word.as_str(), USUAL_PORT],
    };
    let said = ask(&gateway, &name, &argv).await?;
    let Some(ports) = read(&said, &name, frame.summary.preview_port) else {
        return Err(Problem::new(
            409,
            "frame.image_old",
            format!("the image of {name} does not know of that"),
        )
        .hint(format!("`mimir frame upgrade {name}` moves it to the one of this mimir"))
        .into());
    };
    if context.out.json {
        context.out.document(&ports)?;
        return Ok(DONE);
    }
    show(&ports, context)?;
    Ok(DONE)
}

fn show(ports: &FramePorts, context: &Context) -> Result<(), Failure> {
    let address = format!("http://127.0.0.1:{}", ports.preview_port);
    let mut table = Table::new(&[column("PORT").right(), column("PREVIEW")]);
    for port in &ports.listening_ports {
        let preview = if ports.shown_port == Some(*port) { address.as_str() } else { "-" };
        table.row(vec![port.to_string().into(), preview.into()]);
    }
    if !ports.listening_ports.is_empty() {
        context.out.table(&table)?;
    }
    match (ports.shown_port, ports.chosen_port) {
        (None, Some(port)) => context.out.say(format!(
            "the preview shows port {port}, and nothing listens there; `--preview auto` takes that back"
        )),
        (None, None) if ports.listening_ports.is_empty() => {
            context.out.say(format!("nothing listens inside {} yet", ports.frame));
        }
        (None, None) => context.out.say(format!(
            "the preview shows none of them: `mimir frame ports {} --preview PORT`",
            ports.frame
        )),
        (Some(_), _) => {}
    }
    Ok(())
}

/// What a program inside prints. It belongs to the frame, and may neither end nor be short.
async fn ask(gateway: &GatewayClient, name: &str, argv: &[&str]) -> Result<String, Failure> {
    timeout(WITHIN, said(gateway, name, argv)).await.unwrap_or_else(|_| {
        let title = format!("{name} did not say within {} s what listens inside", WITHIN.as_secs());
        Err(Problem::new(504, "frame.silent", title)
            .hint(format!("`mimir frame ports {name} --preview auto` takes back what was chosen inside"))
            .into())
    })
}

async fn said(gateway: &GatewayClient, name: &str, argv: &[&str]) -> Result<String, Failure> {
    let query = TerminalQuery {
        columns: 80,
        rows: 24,
        argv: serde_json::to_string(argv).ok(),
        no_tty: true,
        ..TerminalQuery::default()
    };
    let (mut input, mut output) = gateway.terminal(name, &query).await?;
    // It may be over before it hears that.
    let _ = input.control(&TerminalControl::EndOfInput).await;
    let mut said = Vec::new();
    while let Some(next) = output.next().await? {
        match next {
            TerminalOutput::Out(bytes) if said.len() < MOST_BYTES => said.extend_from_slice(&bytes),
            TerminalOutput::Notice(TerminalNotice::Problem { problem }) => return Err(problem.into()),
            TerminalOutput::Notice(TerminalNotice::Exit { .. }) => break,
            TerminalOutput::Out(_) | TerminalOutput::Err(_) | TerminalOutput::Alive => {}
        }
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// `chosen 5173`, `leads -`, `listens 8000`: a word and a port on each line. Nothing when it is something else.
fn read(said: &str, frame: &str, preview_port: u16) -> Option<FramePorts> {
    let mut ports = FramePorts {
        frame: frame.to_owned(),
        preview_port,
        chosen_port: None,
        shown_port: None,
        listening_ports: Vec::new(),
    };
    let mut is_known = false;
    for line in said.lines() {
        let (word, port) = line.split_once(' ')?;
        let port = port.parse::<u16>().ok();
        match word {
            "chosen" => (ports.chosen_port, is_known) = (port, true),
            "leads" => ports.shown_port = port,
            "listens" => ports.listening_ports.push(port?),
            _ => return None,
        }
    }
    ports.listening_ports.sort_unstable();
    is_known.then_some(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_frame_says_is_read_and_another_image_is_known_by_it() {
        let ports = read("chosen -\nleads 5173\nlistens 8000\nlistens 5173\n", "blog", 33005).expect("ports");
        assert_eq!((ports.chosen_port, ports.shown_port), (None, Some(5173)));
        assert_eq!(ports.listening_ports, [5173, 8000]);
        let chosen = read("chosen 9\nleads -\n", "blog", 1).expect("ports");
        assert_eq!((chosen.chosen_port, chosen.shown_port), (Some(9), None));
        for older in ["HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\n", "", "leads -\n"] {
            assert_eq!(read(older, "blog", 1), None, "{older:?}");
        }
    }

    #[test]
    fn a_preview_is_a_port_or_auto() {
        assert_eq!(preview("5173"), Ok(Preview::Port(5173)));
        assert_eq!(preview("auto"), Ok(Preview::Auto));
        for wrong in ["0", "65536", "http", "-1", ""] {
            assert!(preview(wrong).is_err(), "{wrong}");
        }
    }
}
