//! A GitHub App: a token for one repository, for an hour, with no more rights than are needed.

use mimir::clock::Clock;
use mimir::config::schema::TokenSource;
use mimir::forge::ForgeError;
use mimir::model::git::{ForgeHost, Repository};

use super::{BLOG, forges, new_pull, repository, settings};
use crate::forge::{APP_LOGIN, Forge, Trip};

const GRANTED: [(&str, &str); 6] = [
    ("contents", "write"),
    ("pull_requests", "write"),
    ("issues", "write"),
    ("checks", "read"),
    ("statuses", "read"),
    ("metadata", "read"),
];

#[tokio::test]
async fn an_app_opens_its_repository_with_a_token_that_is_kept_while_it_holds() {
    let forge = Forge::start().await;
    let (blog, folder) = (forge.repository(BLOG), tempfile::tempdir().expect("a folder"));
    forge.repository("me/other");
    let app = forge.app(folder.path(), &[BLOG], &GRANTED);
    let clock = Clock::manual(Clock::system().now_ms());
    let host = forge.host_of_kind("github");
    let (forges, credentials) = forges(&host, TokenSource::App(app), settings(), &clock);

    let client = forges.of(&repository(&forge)).await.expect("a client");
    blog.add("mimir/fix", "fix.txt", "x");
    let pull = client.open_pull(&new_pull("mimir/fix", false)).await.expect("opened");
    assert_eq!(pull.author, APP_LOGIN);
    assert_eq!(client.login().await, Ok(Some(APP_LOGIN.to_owned())), "so its own words are known");
    let first = client.comment(pull.number, "Hello.", "1").await.expect("said");
    assert_eq!(client.comment(pull.number, "Hello.", "1").await.expect("said before").id, first.id);
    let fine = client.preflight().await.expect("looked");
    assert!(fine.is_fine() && fine.expires_at.is_some_and(|at| at > clock.now_ms()), "{fine:?}");
    forges.of(&repository(&forge)).await.expect("a client");
    assert_eq!(forge.effects().tokens, 1, "one for all of that");

    // Git is opened by the same.
    let host = ForgeHost::parse(&host).expect("a host");
    let found = credentials.of(&host, &repository(&forge)).await.expect("had").expect("one");
    assert!(found.token().reveal().starts_with("ghs_"));
    assert_eq!(forge.effects().tokens, 1);

    clock.advance_ms(54 * 60 * 1000);
    forges.of(&repository(&forge)).await.expect("a client");
    assert_eq!(forge.effects().tokens, 1, "it holds for an hour");
    clock.advance_ms(2 * 60 * 1000);
    let renewed = forges.of(&repository(&forge)).await;
    // The forge's clock is not moved: a signature of then is one of the future, and good here.
    assert!(renewed.is_ok());
    assert_eq!(forge.effects().tokens, 2, "in its last minutes another is got");
    forge.assert_as_described();
}

#[tokio::test]
async fn a_token_that_is_taken_back_early_is_replaced_once() {
    let forge = Forge::start().await;
    let (blog, folder) = (forge.repository(BLOG), tempfile::tempdir().expect("a folder"));
    let app = forge.app(folder.path(), &[BLOG], &GRANTED);
    let source = TokenSource::App(app);
    let (forges, _) = forges(&forge.host_of_kind("github"), source, settings(), &Clock::system());
    let client = forges.of(&repository(&forge)).await.expect("a client");
    blog.add("mimir/fix", "fix.txt", "x");
    forge.revoke_tokens();
    // A change is asked for once more, and made once.
    let pull = client.open_pull(&new_pull("mimir/fix", false)).await.expect("opened");
    assert_eq!((forge.effects().pulls, forge.effects().tokens), (1, 2));
    forge.revoke_tokens();
    let (one, two) = tokio::join!(client.pull(pull.number), client.reviews(pull.number));
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    // Both needed one, and whoever comes after them has it.
    assert_eq!(forge.effects().tokens, 3);
    let other = forges.of(&repository(&forge)).await.expect("a client");
    other.pull(pull.number).await.expect("there");
    assert_eq!(forge.effects().tokens, 3);

    // One that is not taken either is not asked for again and again.
    for _ in 0..2 {
        forge.plan("GET", "/pulls/", Trip::Status(401));
    }
    let error = client.pull(pull.number).await.expect_err("not opened");
    assert!(
        matches!(&error, ForgeError::Auth(text) if text.contains("does not take the credential")),
        "{error:?}"
    );
    assert_eq!((forge.effects().tokens, forge.planned()), (4, 0));
    // Where there is no other, it is said why.
    forge.remove_app();
    let error = client.pull(pull.number).await.expect_err("not opened");
    assert!(
        matches!(&error, ForgeError::Auth(text) if text.contains("is not installed for me/blog")),
        "{error:?}"
    );
    forge.assert_as_described();
}

#[tokio::test]
async fn what_an_app_lacks_is_said_in_a_sentence() {
    let forge = Forge::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    forge.repository(BLOG);
    forge.repository("me/other");
    let clock = Clock::system();
    let app = forge.app(folder.path(), &[BLOG], &GRANTED[1..]);
    let (forges_of_app, credentials) =
        forges(&forge.host_of_kind("github"), TokenSource::App(app.clone()), settings(), &clock);
    let said = |result: Result<mimir::forge::Forge, ForgeError>| match result {
        Err(ForgeError::Auth(text)) => text,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it is opened"),
    };
    let text = said(forges_of_app.of(&repository(&forge)).await);
    assert!(text.contains("are not granted") && text.contains("contents: write"), "{text}");
    let other = Repository::parse(&forge.name_of("me/other")).expect("a repository");
    let text = said(forges_of_app.of(&other).await);
    assert!(text.contains("is not installed for me/other"), "{text}");
    let host = ForgeHost::parse(&forge.host()).expect("a host");
    let error = credentials.of(&host, &other).await.expect_err("none").to_string();
    assert!(error.contains("is not installed for me/other"), "{error}");

    std::fs::write(&app.key_file, "no key").expect("written");
    let text = said(forges_of_app.of(&repository(&forge)).await);
    assert!(text.contains("is no private key in PEM") && !text.contains("no key\n"), "{text}");
    // Another app's key.
    let elsewhere = Forge::start().await;
    elsewhere.app(folder.path(), &[BLOG], &GRANTED);
    let text = said(forges_of_app.of(&repository(&forge)).await);
    assert!(text.contains("does not know the app 77 by the key"), "{text}");
    assert_eq!(forge.effects().tokens, 0);
}
