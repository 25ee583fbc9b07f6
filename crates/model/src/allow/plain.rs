//! Methods and paths of an entry: `GET+HEAD example.com/simple/*`.

/// Methods that an entry can name.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// What plain HTTP may ask of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlainOnly {
    /// These; none means all.
    methods: Vec<&'static str>,
    path: Option<Path>,
}

/// A path, or everything that begins like that.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Path {
    text: String,
    and_below: bool,
}

impl PlainOnly {
    /// Whether that may be asked. A path that servers may read in more than one way is none of those that were meant.
    pub(super) fn permits(&self, method: &str, path: &str) -> bool {
        let method_fits = self.methods.is_empty() || self.methods.contains(&method);
        let path_fits = self.path.as_ref().is_none_or(|wanted| {
            let fits = if wanted.and_below { path.starts_with(&wanted.text) } else { path == wanted.text };
            fits && reads_one_way(path)
        });
        method_fits && path_fits
    }
}

/// Cuts methods and path off an entry. Gives what is left, the host.
///
/// # Errors
/// The entry, when it has them and they are nonsense.
pub(super) fn split(entry: &str) -> Result<(&str, Option<PlainOnly>), String> {
    let refused = || entry.to_owned();
    let (methods, rest) = match entry.split_once(char::is_whitespace) {
        Some((methods, rest)) => (self::methods(methods).ok_or_else(refused)?, rest.trim_start()),
        None => (Vec::new(), entry),
    };
    let Some(at) = rest.find('/') else {
        let only = (!methods.is_empty()).then_some(PlainOnly { methods, path: None });
        return Ok((rest, only));
    };
    let (host, path) = rest.split_at(at);
    let path = self::path(path).ok_or_else(refused)?;
    Ok((host, Some(PlainOnly { methods, path: Some(path) })))
}

fn methods(text: &str) -> Option<Vec<&'static str>> {
    let known = |word: &str| METHODS.into_iter().find(|method| word.eq_ignore_ascii_case(method));
    text.split('+').map(known).collect()
}

fn path(text: &str) -> Option<Path> {
    let (text, and_below) = match text.strip_suffix('*') {
        Some(beginning) => (beginning, true),
        None => (text, false),
    };
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'*');
    let good = text.bytes().all(plain) && reads_one_way(text);
    good.then(|| Path { text: text.to_owned(), and_below })
}

/// Whether no server reads that path as another one: no way up, in no spelling, and no slash in disguise.
fn reads_one_way(path: &str) -> bool {
    let mut decoded = path.to_ascii_lowercase();
    // Some servers decode twice.
    for _ in 0..2 {
        decoded = decoded.replace("%25", "%").replace("%2e", ".");
    }
    let hides_a_slash = ["%2f", "%5c", "%00", "\\"].iter().any(|piece| decoded.contains(piece));
    // `..;x` is `..` to some.
    let goes_up = decoded.split('/').any(|piece| {
        let name = piece.split(';').next().unwrap_or(piece);
        matches!(name, "." | "..")
    });
    !hides_a_slash && !goes_up
}
