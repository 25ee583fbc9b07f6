//! Guake, the terminal that drops down: asked over D-Bus, as its own command line does.
//!
//! Its command line makes a tab too many, cannot say which tabs there are, and without a display prints what Gtk has
//! to say about it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use zbus::Connection;
use zbus::zvariant::{DynamicType, Type};

use crate::cli::exit::{Failure, usage};
use crate::wire::problem::Problem;

/// Its name on the bus, and of its interface.
const NAME: &str = "org.guake3.RemoteControl";
const PATH: &str = "/org/guake3/RemoteControl";
/// An answer comes at once or not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to start.
const START: Duration = Duration::from_secs(15);

/// The tab closes when the terminal was left; an error stays to be read.
pub const THEN_CLOSE: &str = " && exit";

/// Shows the tab that `kept` names, or makes one in which the command runs and notes there which it is: a tab's name is
/// whatever anybody calls it. Says whether it was there already.
pub async fn open(name: &str, command: &str, has_screen: bool, kept: &Path) -> Result<bool, Failure> {
    let guake = match Guake::find().await {
        Some(guake) => guake,
        None if !has_screen => return Err(no_screen("Guake")),
        None => start().await?,
    };
    guake.tell("show_from_remote", &()).await?;
    if let Ok(uuid) = std::fs::read_to_string(kept)
        && guake.select(uuid.trim()).await?
    {
        return Ok(true);
    }
    // It makes the tab.
    guake.tell("execute_command", &(format!("{command}{THEN_CLOSE}"),)).await?;
    guake.tell("rename_current_tab", &(name,)).await?;
    // Without a note there is another tab the next time.
    if let Ok(uuid) = guake.ask::<(), String>("get_selected_uuidtab", &()).await {
        let _ = kept.parent().map(std::fs::create_dir_all);
        let _ = std::fs::write(kept, uuid);
    }
    Ok(false)
}

/// A program with a window, and no screen to show it on.
pub fn no_screen(program: &str) -> Failure {
    usage(format!("{program} needs a display, and there is none"))
        .detail("neither DISPLAY nor WAYLAND_DISPLAY is set, as over ssh")
        .hint("`mimir frame attach NAME` uses the terminal you are in")
        .into()
}

/// One that runs.
struct Guake {
    bus: Connection,
}

impl Guake {
    /// The one of this session, if it runs.
    async fn find() -> Option<Self> {
        let bus = timeout(PATIENCE, Connection::session()).await.ok()?.ok()?;
        let guake = Self { bus };
        guake.ask::<(), i32>("get_tab_count", &()).await.ok()?;
        Some(guake)
    }

    /// Selects the tab whose first terminal that is, if there is one.
    async fn select(&self, uuid: &str) -> Result<bool, Failure> {
        // It counts terminals, and a tab may have several: the place of the tab is that or one before it.
        let Ok(at @ 0..) = self.ask::<_, i32>("get_index_from_uuid", &(uuid,)).await else {
            return Ok(false);
        };
        let before: i32 = self.ask("get_selected_tab", &()).await?;
        let count: i32 = self.ask("get_tab_count", &()).await?;
        for index in (0..=at.min(count - 1)).rev() {
            self.tell("select_tab", &(index,)).await?;
            let selected: String = self.ask("get_selected_uuidtab", &()).await?;
            if selected == uuid {
                return Ok(true);
            }
        }
        self.tell("select_tab", &(before,)).await?;
        Ok(false)
    }

    async fn ask<B, T>(&self, method: &str, body: &B) -> Result<T, Failure>
    where
        B: serde::Serialize + DynamicType,
        T: serde::de::DeserializeOwned + Type,
    {
        let call = self.bus.call_method(Some(NAME), PATH, Some(NAME), method, body);
        let reply = timeout(PATIENCE, call).await.map_err(|_| refused("it does not answer"))?;
        let reply = reply.map_err(|error| refused(&error.to_string()))?;
        reply.body().deserialize().map_err(|error| refused(&error.to_string()))
    }

    async fn tell<B: serde::Serialize + DynamicType>(&self, method: &str, body: &B) -> Result<(), Failure> {
        let call = self.bus.call_method(Some(NAME), PATH, Some(NAME), method, body);
        let reply = timeout(PATIENCE, call).await.map_err(|_| refused("it does not answer"))?;
        reply.map(drop).map_err(|error| refused(&error.to_string()))
    }
}

/// Starts it, and waits until it answers. It goes on when we are gone.
async fn start() -> Result<Guake, Failure> {
    let mut child = Command::new("guake")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(false)
        .spawn()
        .map_err(|error| refused(&error.to_string()))?;
    let begun = Instant::now();
    while begun.elapsed() < START {
        if let Some(guake) = Guake::find().await {
            return Ok(guake);
        }
        if let Some(why) = ended(&mut child) {
            return Err(refused(&why));
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err(refused("it was started and is not there yet"))
}

fn ended(child: &mut Child) -> Option<String> {
    let status = child.try_wait().ok().flatten()?;
    Some(format!("it ended at once ({status}); can programs open windows here?"))
}

fn refused(why: &str) -> Failure {
    // A stranger's error may be a whole page.
    let first = why.lines().find(|line| !line.trim().is_empty()).unwrap_or(why).trim().to_owned();
    Problem::new(502, "terminal.refused", "Guake did not open a tab")
        .detail(first)
        .hint("choose another `--terminal`, or use `mimir frame attach NAME` here")
        .into()
}
