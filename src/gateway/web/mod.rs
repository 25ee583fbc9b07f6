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
/// into it, no text becomes HTML (trusted types), and nobody shows it inside a page of theirs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// Beside the policy, for browsers that know less of it, and for what opens links from the page.
const GUARDS: [(&str, &str); 6] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

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
    Some(answer(file.media, "public, max-age=31536000, immutable", file.bytes))
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
    fn the_page_names_every_file_and_holds_no_script_or_style_of_its_own() {
        let page = std::str::from_utf8(INDEX).expect("text");
        assert!(FILES.len() >= 3, "a script, a style, an icon");
        for file in FILES {
            assert!(page.contains(&format!("\"/assets/{}\"", file.name)), "{} is not in {page}", file.name);
        }
        for forbidden in ["<style", " style=", " onload=", " onclick=", "javascript:", "http:", "https:"] {
            assert!(!page.contains(forbidden), "{forbidden} in {page}");
        }
        assert_eq!(
            page.matches("<script").count(),
            page.matches("<script type=\"module\" crossorigin src=").count()
        );
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
