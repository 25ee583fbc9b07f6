//! A real terminal: a pty, a program in it, and a screen that can be read.

use std::io::{Read as _, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use super::support::{World, eventually};

/// `mimir …` in a terminal.
pub struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    bytes: Arc<Mutex<Vec<u8>>>,
    keys: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
}

impl Terminal {
    /// Runs `mimir` with `args` in a new terminal of that size.
    pub fn open(world: &World, args: &[&str], columns: u16, rows: u16) -> Self {
        Self::run(world, &world.binary(), args, columns, rows)
    }

    /// Runs any program as this world's user in a new terminal.
    pub fn run(world: &World, program: &str, args: &[&str], columns: u16, rows: u16) -> Self {
        let pair = native_pty_system()
            .openpty(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 })
            .expect("a pty");
        let argv = world.argv(program, args);
        let mut command = CommandBuilder::new(&argv[0]);
        command.args(&argv[1..]);
        let child = pair.slave.spawn_command(command).expect("mimir starts in the terminal");
        drop(pair.slave);

        let screen = Arc::new(Mutex::new(vt100::Parser::new(cells(rows), cells(columns), 0)));
        let mut output = pair.master.try_clone_reader().expect("the terminal's output");
        let all: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (shared, kept) = (screen.clone(), all.clone());
        std::thread::spawn(move || {
            let mut bytes = [0_u8; 8192];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                kept.lock().extend_from_slice(&bytes[..count]);
                shared.lock().process(&bytes[..count]);
            }
        });
        let keys = pair.master.take_writer().expect("the terminal's input");
        Self { screen, bytes: all, keys, master: pair.master, child }
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.screen.lock().screen().contents()
    }

    /// Everything that the terminal was sent so far, as it was sent.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().clone()
    }

    /// Waits until `wanted` is on the screen.
    #[track_caller]
    pub fn wait_for_text(&self, wanted: &str, limit: Duration) {
        eventually(&format!("{wanted:?} on the screen"), limit, || {
            let seen = self.text();
            if seen.contains(wanted) { Ok(()) } else { Err(format!("\n{seen}\n")) }
        });
    }

    /// Types.
    pub fn type_text(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).expect("the terminal takes input");
        self.keys.flush().expect("the terminal takes input");
    }

    /// Leaves as tmux's users do: prefix, d.
    pub fn detach(&mut self) {
        self.type_text("\x02d");
    }

    /// Changes the size of the window.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.screen.lock().screen_mut().set_size(cells(rows), cells(columns));
        self.master
            .resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 })
            .expect("a new size");
    }

    /// Waits for the program's end.
    #[track_caller]
    pub fn exit_code(&mut self, limit: Duration) -> u32 {
        let child = &mut self.child;
        eventually("the program in the terminal ends", limit, || match child.try_wait() {
            Ok(Some(status)) => Ok(status.exit_code()),
            Ok(None) => Err("it runs".into()),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Closes the window under the program, as when a terminal is killed.
    pub fn hang_up(mut self) {
        let _ = self.child.kill();
    }
}

fn cells(count: u16) -> std::num::NonZero<u16> {
    std::num::NonZero::new(count).expect("a screen has at least one cell")
}
