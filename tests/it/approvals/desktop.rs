//! The desktop, over a real message bus and a stand-in for its notification service.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mimir::model::approval::Decision;
use mimir::notify::{self, session_bus};

use super::prompter::permission;
use super::world::{OWNER, ROOT, World};

/// Prints what it is asked to show and to take away.
const SERVICE: &str = r#"
import dbus, dbus.service, dbus.mainloop.glib, sys
from gi.repository import GLib
dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
class Notes(dbus.service.Object):
    @dbus.service.method("org.freedesktop.Notifications", in_signature="susssasa{sv}i", out_signature="u")
    def Notify(self, app, replaces, icon, title, body, actions, hints, timeout):
        print("show", app, "|", title, "|", body.replace("\n", " / "), flush=True)
        return dbus.UInt32(7)
    @dbus.service.method("org.freedesktop.Notifications", in_signature="u", out_signature="")
    def CloseNotification(self, id):
        print("close", int(id), flush=True)
    @dbus.service.method("org.freedesktop.Notifications", in_signature="", out_signature="as")
    def GetCapabilities(self):
        return ["body"]
    @dbus.service.method("org.freedesktop.Notifications", in_signature="", out_signature="ssss")
    def GetServerInformation(self):
        return ("test", "test", "1", "1.2")
bus = dbus.SessionBus()
name = dbus.service.BusName("org.freedesktop.Notifications", bus)
notes = Notes(bus, "/org/freedesktop/Notifications")
print("ready", flush=True)
GLib.MainLoop().run()
"#;

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The bus is named by the environment, which cannot be changed for one test alone: this one runs itself again.
#[test]
fn a_prompt_is_shown_on_the_desktop_and_taken_away_with_its_answer() {
    let test = "approvals::desktop";
    let python = ["/usr/bin/python3", "python3"].into_iter().find(|python| {
        let try_it = ["-c", "import dbus.mainloop.glib, gi.repository.GLib"];
        Command::new(python).args(try_it).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    });
    let Some(python) = python else {
        return crate::podman::support::skip(test, "python3 has no dbus and gi (python3-dbus, python3-gi)");
    };
    let daemon = Command::new("dbus-daemon")
        .args(["--session", "--nofork", "--print-address=1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(daemon) = daemon else {
        return crate::podman::support::skip(test, "dbus-daemon is not installed");
    };
    let mut daemon = Ended(daemon);
    let mut address = String::new();
    BufReader::new(daemon.0.stdout.take().expect("a pipe")).read_line(&mut address).expect("an address");
    let mut service = Ended(
        Command::new(python)
            .args(["-c", SERVICE])
            .env("DBUS_SESSION_BUS_ADDRESS", address.trim())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts"),
    );
    let said = lines_of(service.0.stdout.take().expect("a pipe"));
    assert_eq!(said.recv_timeout(Duration::from_secs(20)).as_deref(), Ok("ready"));
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "approvals::desktop::the_gateway_of_that_test", "--ignored", "--nocapture"])
        .env("DBUS_SESSION_BUS_ADDRESS", address.trim())
        .stdout(Stdio::null())
        .spawn();
    let mut child = Ended(child.expect("starts"));
    let shown = said.recv_timeout(Duration::from_secs(20)).expect("a note");
    assert_eq!(
        shown.split(" / ").next(),
        Some("show mimir | blog: may the agent use bash? | bash: echo &lt;b&gt; &amp;&amp; git push")
    );
    assert!(shown.contains("mimir approvals allow apr_"), "{shown}");
    assert_eq!(said.recv_timeout(Duration::from_secs(20)).as_deref(), Ok("close 7"));
    assert!(child.0.wait().expect("ends").success());
}

fn lines_of(pipe: std::process::ChildStdout) -> std::sync::mpsc::Receiver<String> {
    let (say, said) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = say.send(line);
        }
    });
    said
}

#[tokio::test]
#[ignore = "run by the test above, with a bus of its own"]
async fn the_gateway_of_that_test() {
    let Some(bus) = session_bus(&|name| std::env::var(name).ok()) else { return };
    let world = World::told_to(notify::Settings { bus: Some(bus), ..notify::Settings::default() }).await;
    let began = Instant::now();
    let prompt = world.ask(permission("per_1", ROOT, "bash", &["echo <b> && git push"])).await;
    // The note is on its way; one that is answered before it is there is not shown for long either.
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.approvals.answer(&OWNER, &prompt.id, Decision::Once).await.expect("taken");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(began.elapsed() < Duration::from_secs(20));
}
