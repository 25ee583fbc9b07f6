//! The same contract against several released versions of opencode, as plain processes with a scripted model.
//!
//! What they do differently is written down in `docs/opencode-versions.md`; what mimir needs is the same for all.

#[path = "versions/chaos.rs"]
mod chaos;
#[path = "versions/contract.rs"]
mod contract;
#[path = "versions/negotiation.rs"]
mod negotiation;
#[path = "versions/release.rs"]
pub mod release;
#[path = "versions/stranger.rs"]
mod stranger;
#[path = "versions/turns.rs"]
mod turns;

use std::time::{Duration, Instant};

use mimir::opencode::OpencodeError;
use release::Release;

const PINS: &str = include_str!("../fixtures/opencode/releases");

/// One test for each release that works: the contract first, then whole messages through the router.
macro_rules! works {
    ($($name:ident: $version:literal,)*) => {$(
        #[tokio::test]
        async fn $name() {
            assert!(PINS.contains($version), "a release has its pin");
            if let Some(release) = Release::find(stringify!($name), $version).await {
                contract::holds(&release, $version).await;
                turns::of_every_kind_go_through(release).await;
            }
        }
    )*};
}

works! {
    the_oldest_release_works: "1.1.16",
    an_old_release_works: "1.3.2",
    a_release_of_the_middle_works: "1.14.34",
    the_release_in_the_frame_image_works: "1.18.33",
}

/// Refused in seconds, with a reason, and never hanging.
async fn is_refused(test: &str, version: &str, found: &str, why: &str) {
    let Some(release) = Release::find(test, version).await else { return };
    release.start();
    let begun = Instant::now();
    let refusal = release.meet().await.expect_err("no agent to work with");
    assert!(matches!(&refusal, OpencodeError::WrongVersion { .. }), "{refusal:?}");
    let said = refusal.to_string();
    assert!(said.contains(found) && said.contains(why), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_release_without_a_password_is_refused() {
    is_refused("a_release_without_a_password_is_refused", "1.1.11", "opencode 1.1.11", "password").await;
}

#[tokio::test]
async fn a_release_that_lacks_half_of_it_is_refused() {
    is_refused("a_release_that_lacks_half_of_it_is_refused", "1.0.185", "1.0 or older", "lack").await;
}

#[test]
fn the_newest_pin_is_what_the_frame_image_has() {
    let newest = PINS.lines().last().expect("lines");
    let sums = include_str!("../../images/frame/checksums");
    let image = sums.lines().find(|line| line.contains("opencode-linux-x64@")).expect("a line");
    let version = mimir::opencode::VERSION;
    assert_eq!(newest.split_whitespace().next(), image.split_whitespace().next());
    assert!(newest.contains(version) && image.contains(version), "{newest}\n{image}");
}
