//! What a request asks for. Pure.

use hyper::{Method, Uri};

use crate::model::container::inside::BROKER_PORT;
use crate::model::secrets::SecretHost;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A model call.
    Model {
        /// The provider's name.
        provider: String,
        /// What comes behind it, with its slash.
        path: String,
    },
    /// Something that git asks of a repository.
    Git {
        /// The forge's host, with its port when that is not the usual one.
        host: String,
        /// The repository's path.
        path: String,
        /// What is asked.
        what: GitQuestion,
    },
    /// A tunnel to a host.
    Tunnel {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A plain HTTP request to a host.
    Plain {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A request to a host that the broker speaks to by TLS, so that placeholders in it are replaced.
    Secret {
        /// The host.
        to: SecretHost,
        /// What comes behind it, with its slash and its query.
        path: String,
    },
    /// Nothing we know.
    Unknown,
}

/// What git asks, by the end of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitQuestion {
    /// `info/refs`: what is there.
    Refs,
    /// `git-upload-pack`: give me objects.
    Fetch,
    /// `git-receive-pack`: take objects.
    Push,
}

impl Route {
    /// Reads a request line.
    #[must_use]
    pub fn of(method: &Method, uri: &Uri) -> Self {
        let host = || uri.host().map(|host| host.trim_matches(['[', ']']).to_owned());
        if method == Method::CONNECT {
            return match (host(), uri.port_u16()) {
                (Some(host), Some(port)) if !host.is_empty() && port > 0 => Self::Tunnel { host, port },
                _ => Self::Unknown,
            };
        }
        match (uri.scheme_str(), host()) {
            (None, _) => Self::of_path(uri),
            // A client that asks its proxy for the proxy itself.
            (Some("http"), Some(host)) if is_us(&host, uri.port_u16()) => Self::of_path(uri),
            (Some("http"), Some(host)) if !host.is_empty() => {
                Self::Plain { host, port: uri.port_u16().unwrap_or(80) }
            }
            _ => Self::Unknown,
        }
    }

    fn of_path(uri: &Uri) -> Self {
        let whole = uri.path_and_query().map_or("", |whole| whole.as_str());
        if let Some(rest) = whole.strip_prefix("/https/") {
            let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
            let host = format!("https://{authority}").parse();
            return host.map_or(Self::Unknown, |to| Self::Secret { to, path });
        }
        if let Some((host, rest)) = uri.path().strip_prefix("/git/").and_then(|rest| rest.split_once('/')) {
            let ends = [
                ("/info/refs", GitQuestion::Refs),
                ("/git-upload-pack", GitQuestion::Fetch),
                ("/git-receive-pack", GitQuestion::Push),
            ];
            let found = ends.iter().find_map(|(end, what)| Some((rest.strip_suffix(end)?, *what)));
            return match found {
                Some((path, what)) => Self::Git { host: host.to_owned(), path: path.to_owned(), what },
                None => Self::Unknown,
            };
        }
        let Some((provider, rest)) =
            uri.path().strip_prefix("/models/").and_then(|rest| rest.split_once('/'))
        else {
            return Self::Unknown;
        };
        Self::Model { provider: provider.to_owned(), path: format!("/{rest}") }
    }
}

fn is_us(host: &str, port: Option<u16>) -> bool {
    matches!(host, "127.0.0.1" | "localhost") && port == Some(BROKER_PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: Method, uri: &str) -> Route {
        Route::of(&method, &uri.parse().expect("an address"))
    }

    #[test]
    fn requests_are_told_apart_by_their_first_line() {
        let model = |path: &str| Route::Model { provider: "demo".to_owned(), path: path.to_owned() };
        assert_eq!(route(Method::POST, "/models/demo/chat/completions"), model("/chat/completions"));
        assert_eq!(route(Method::GET, "http://127.0.0.1:8118/models/demo/models"), model("/models"));
        assert_eq!(
            route(Method::CONNECT, "example.com:443"),
            Route::Tunnel { host: "example.com".to_owned(), port: 443 }
        );
        assert_eq!(route(Method::CONNECT, "[::1]:443"), Route::Tunnel { host: "::1".to_owned(), port: 443 });
        assert_eq!(
            route(Method::GET, "http://example.com/a"),
            Route::Plain { host: "example.com".to_owned(), port: 80 }
        );
        let secret =
            |to: &str, path: &str| Route::Secret { to: to.parse().expect("a host"), path: path.to_owned() };
        assert_eq!(route(Method::GET, "/https/api.test/user?a=b"), secret("api.test", "/user?a=b"));
        assert_eq!(
            route(Method::GET, "http://127.0.0.1:8118/https/API.test:8443"),
            secret("api.test:8443", "/")
        );
        assert_eq!(route(Method::POST, "/https/api.test?x=/y"), secret("api.test", "/?x=/y"));
        let git = |path: &str, what| Route::Git { host: "git.test:3000".into(), path: path.into(), what };
        assert_eq!(
            route(Method::GET, "/git/git.test:3000/me/blog.git/info/refs?service=git-upload-pack"),
            git("me/blog.git", GitQuestion::Refs)
        );
        assert_eq!(
            route(Method::POST, "http://127.0.0.1:8118/git/git.test:3000/a/b/c/git-receive-pack"),
            git("a/b/c", GitQuestion::Push)
        );
        for unknown in [
            "/https/",
            "/https//x",
            "/https/a@b.test/",
            "/git/",
            "/git/x/info/refs",
            "/git/x/y/HEAD",
            "/",
            "/models/",
            "/models/demo",
            "https://example.com/",
            "/v1/frames",
        ] {
            assert_eq!(route(Method::GET, unknown), Route::Unknown, "{unknown}");
        }
    }
}
