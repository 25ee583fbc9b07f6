//! The page that people open with a browser: its files, built into the program, and how its requests are known.
//!
//! The files are made from web/ by `scripts/web`; without Node the program is built from what was committed.

mod files;
pub mod session;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Response, header};

use files::{FILES, INDEX};

/// A file that the page is made of.
struct File {
    name: &'static str,
    media: &'static str,
    bytes: &'static [u8],
}

/// What the page may do: load its own files, ask this gateway, and nothing else. No script and no style is written
/// into it, no text becomes HTML (trusted types), and nobody shows it inside a page of theirs. The one maker of trusted
/// values that it may have gives the address of its service worker and nothing else; as the first thing that it does the
/// page makes it, and a second one of that name is refused.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    manifest-src 'self'; worker-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types mimir-worker";

/// Beside the policy, for browsers that know less of it, and for what opens links from the page.
const GUARDS: [(&str, &str); 6] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// What stands before the secret in a link to look at a terminal, behind the `#`.
pub const WATCH: &str = "watch=";

/// Whether a request opens a connection whose first message says who asks: a browser can put no header of the page's on a
/// WebSocket. Nothing is said on it before that message brings a ticket.
#[must_use]
pub fn is_ticketed(method: &Method, path: &str) -> bool {
    *method == Method::GET && path == "/v1/terminal"
}

/// Whether a request is one of the page that nobody has come in with: the page, its files, and coming in.
#[must_use]
pub fn is_public(method: &Method, path: &str) -> bool {
    let is_file = path == "/" || path.starts_with("/assets/");
    let looks = *method == Method::GET || *method == Method::HEAD;
    (looks && is_file) || (*method == Method::POST && matches!(path, "/v1/web/sessions" | "/v1/web/login"))
}

/// The page itself. It names the newest files, so nobody keeps it.
#[must_use]
pub fn page() -> Response<Body> {
    answer("text/html; charset=utf-8", "no-store", INDEX)
}

/// A file that the page names. Its name changes with what is in it, so it may be kept for ever.
#[must_use]
pub fn file(name: &str) -> Option<Response<Body>> {
    let file = FILES.iter().find(|file| file.name == name)?;
    let mut answer = answer(file.media, "public, max-age=31536000, immutable", file.bytes);
    // It lies among the files and keeps the page, which lies above them.
    if name.starts_with("worker-") {
        answer.headers_mut().insert("service-worker-allowed", HeaderValue::from_static("/"));
    }
    Some(answer)
}

fn answer(media: &'static str, cache: &'static str, bytes: &'static [u8]) -> Response<Body> {
    let mut answer = Response::new(Body::from(bytes));
    let headers = answer.headers_mut();
    let guards = GUARDS.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    headers.extend(guards);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_or_its_manifest_names_every_file_and_the_page_holds_no_script_or_style() {
        let page = std::str::from_utf8(INDEX).expect("text");
        let manifest = FILES.iter().find(|file| file.name.ends_with(".webmanifest")).expect("a manifest");
        let icons = std::str::from_utf8(manifest.bytes).expect("text");
        assert!(FILES.len() >= 8, "a script, a style, icons, what makes it an app");
        for file in FILES {
            let named = format!("\"/assets/{}\"", file.name);
            assert!(
                page.contains(&named) || icons.contains(&named),
                "{} is neither in {page} nor in {icons}",
                file.name
            );
        }
        assert!(page.contains(manifest.name));
        for forbidden in ["<style", " style=", " onload=", " onclick=", "javascript:", "http:", "https:"] {
            assert!(!page.contains(forbidden), "{forbidden} in {page}");
        }
        assert_eq!(
            page.matches("<script").count(),
            page.matches("<script type=\"module\" crossorigin src=").count()
        );
    }

    #[test]
    fn only_the_terminal_of_browsers_is_opened_by_a_ticket() {
        assert!(is_ticketed(&Method::GET, "/v1/terminal"));
        for (method, path) in
            [("POST", "/v1/terminal"), ("GET", "/v1/terminal/"), ("GET", "/v1/frames/blog/terminal")]
        {
            assert!(!is_ticketed(&method.parse().expect("a method"), path), "{method} {path}");
        }
    }

    #[test]
    fn the_worker_alone_may_keep_the_page() {
        for one in FILES {
            let answer = file(one.name).expect("a file");
            let allowed = answer.headers().get("service-worker-allowed").map(HeaderValue::as_bytes);
            assert_eq!(allowed, one.name.starts_with("worker-").then_some(&b"/"[..]), "{}", one.name);
        }
        assert_eq!(FILES.iter().filter(|file| file.name.starts_with("worker-")).count(), 1);
    }

    #[test]
    fn only_what_nobody_needs_to_be_known_for_is_public() {
        for (method, path) in [
            ("GET", "/"),
            ("HEAD", "/"),
            ("GET", "/assets/page.js"),
            ("POST", "/v1/web/sessions"),
            ("POST", "/v1/web/login"),
        ] {
            assert!(is_public(&method.parse().expect("a method"), path), "{method} {path}");
        }
        for (method, path) in [
            ("POST", "/"),
            ("GET", "/v1/web/sessions"),
            ("DELETE", "/v1/web/sessions"),
            ("GET", "/v1/web/login"),
            ("PUT", "/v1/web/password"),
            ("POST", "/v1/web/totp"),
            ("POST", "/v1/web/codes"),
            ("GET", "/v1/frames"),
            ("GET", "//"),
        ] {
            assert!(!is_public(&method.parse().expect("a method"), path), "{method} {path}");
        }
    }
}
