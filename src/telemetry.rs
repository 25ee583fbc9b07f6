//! What the program says about itself: sentences for people, JSON lines for the gateway's log.
//!
//! `MIMIR_LOG` sets what is said, in the usual form (`debug`, `mimir=trace,hyper=info`).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// A log larger than this becomes `<name>.1` and a new one begins.
pub const LOG_LIMIT_BYTES: u64 = 10 * 1024 * 1024;

/// A line that cannot be written is not told of on standard error: where the disk is full, or the other end of a pipe has
/// gone, that cannot be written either, and whoever wanted to say something would panic.
const SAYS_SO: bool = false;

/// Where it goes.
#[derive(Clone, Debug, Default)]
pub struct Sinks {
    /// JSON lines.
    pub file: Option<LogFile>,
    /// Sentences on standard error.
    pub stderr: bool,
    /// What takes out of a line what must not be said.
    pub mask: Mask,
}

/// Looks at each line before it is written: what is to be written instead, if anything. Clones share it.
#[derive(Clone, Default)]
pub struct Mask(Arc<OnceLock<Cover>>);

type Cover = Box<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync>;

impl Mask {
    /// From now on, and once.
    pub fn set(&self, cover: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(cover));
    }

    fn over(&self, line: &[u8]) -> Option<Vec<u8>> {
        self.0.get().and_then(|cover| cover(line))
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mask")
    }
}

/// Standard error or a log, behind a mask. A line comes whole.
struct Masked<W> {
    to: W,
    mask: Mask,
}

impl<W: Write> Write for Masked<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.mask.over(line) {
            Some(instead) => self.to.write_all(&instead)?,
            None => self.to.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Sets up logging for the whole process. A second call changes nothing and says so.
///
/// `filter` is what `MIMIR_LOG` says; without it, what the gateway does and what goes wrong.
pub fn init(sinks: Sinks, filter: Option<&str>) -> bool {
    let wanted = || {
        EnvFilter::new(
            filter.unwrap_or("info,hyper=warn,reqwest=warn,bollard=warn,rustls=warn,rusqlite_migration=warn"),
        )
    };
    let (mask, mask_of_file) = (sinks.mask.clone(), sinks.mask);
    let json = sinks.file.map(|file| {
        let file = move || Masked { to: file.clone(), mask: mask_of_file.clone() };
        fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .log_internal_errors(SAYS_SO)
            .with_writer(file)
            .with_filter(wanted())
    });
    let sentences = sinks.stderr.then(|| {
        let stderr = move || Masked { to: io::stderr(), mask: mask.clone() };
        let layer = fmt::layer().with_target(false).with_ansi(false).log_internal_errors(SAYS_SO);
        layer.with_writer(stderr).with_filter(wanted())
    });
    tracing_subscriber::registry().with(json).with(sentences).try_init().is_ok()
}

/// A log file that keeps itself small. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogFile {
    open: Arc<Mutex<Open>>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl LogFile {
    /// Opens `path` (0600) at its end, after setting a too large one aside.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let too_large = std::fs::metadata(path).is_ok_and(|found| found.len() >= limit);
        if too_large {
            set_aside(path)?;
        }
        let (file, size) = open_at_end(path)?;
        let open = Open { path: path.to_owned(), file, size, limit };
        Ok(Self { open: Arc::new(Mutex::new(open)) })
    }
}

fn open_at_end(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn set_aside(path: &Path) -> io::Result<()> {
    let mut old = path.as_os_str().to_owned();
    old.push(".1");
    std::fs::rename(path, old)
}

impl Open {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.size > 0 && self.size + line.len() as u64 > self.limit {
            // A log that cannot be renamed goes on growing: better than losing lines.
            if set_aside(&self.path).is_ok() {
                (self.file, self.size) = open_at_end(&self.path)?;
            }
        }
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        Ok(line.len())
    }
}

impl Write for &LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.open.lock().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        (&*self).write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_grows_too_large_is_set_aside_and_no_line_is_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gateway.log");
        let log = LogFile::open(&path, 30).expect("opens");
        for number in 0..5 {
            writeln!(&log, "line number {number}").expect("writes");
        }
        let now = std::fs::read_to_string(&path).expect("the log");
        let before = std::fs::read_to_string(folder.path().join("gateway.log.1")).expect("the old one");
        assert_eq!(now, "line number 4\n");
        assert_eq!(before, "line number 2\nline number 3\n");
    }

    #[test]
    fn a_line_is_looked_at_before_it_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gateway.log");
        let mask = Mask::default();
        let mut log = Masked { to: LogFile::open(&path, 1000).expect("opens"), mask: mask.clone() };
        log.write_all(b"before\n").expect("written");
        mask.set(|line| (line == b"a secret\n").then(|| b"[redacted]\n".to_vec()));
        log.write_all(b"a secret\n").expect("written");
        log.write_all(b"after\n").expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("the log"), "before\n[redacted]\nafter\n");
    }

    #[test]
    fn a_log_that_is_too_large_at_the_start_is_set_aside_and_nobody_else_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gateway.log");
        std::fs::write(&path, "x".repeat(64)).expect("an old log");
        LogFile::open(&path, 64).expect("opens");
        let mode = std::fs::metadata(&path).expect("a new log").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(folder.path().join("gateway.log.1").exists());
    }
}
