//! Whether git may push is asked before anything is spent. A forge that does not say it in time, or at all, has said neither
//! yes nor no.

use std::time::Duration;

use mimir::forge::{ForgeError, Settings};

use super::{KINDS, World, settings, without_token};
use crate::forge::Trip;

#[tokio::test]
async fn who_is_not_told_whether_git_may_push_asks_again() {
    for kind in KINDS {
        let world = World::with(kind, Settings { deadline: Duration::from_secs(3), ..settings() }).await;
        let answers = [
            (Trip::AnswerLost, ""),
            (Trip::Status(429), "it answered 429 to git"),
            (Trip::Status(503), "it answered 503 to git"),
            (Trip::Slow(Duration::from_secs(60)), "it took too long to say whether git may push"),
        ];
        for (trip, words) in answers {
            world.forge.plan("GET", "/info/refs", trip.clone());
            let error = without_token(world.client.preflight().await.expect_err("nobody knows"));
            assert!(
                matches!(&error, ForgeError::Transient(why) if why.contains(words)),
                "{kind} {trip:?}: {error:?}"
            );
            assert_eq!(world.forge.planned(), 0, "{kind} {trip:?}: it was asked");
            let found = world.client.preflight().await.expect("it says so now");
            assert!(found.is_fine(), "{kind} {trip:?}: {:?}", found.missing);
        }
        // A no is one, at once.
        world.forge.plan("GET", "/info/refs", Trip::Status(403));
        let found = world.client.preflight().await.expect("it was told");
        assert!(
            matches!(&found.missing[..], [why] if why.contains("push to me/blog")),
            "{:?}",
            found.missing
        );
        assert_eq!(world.forge.pushes(), 0, "{kind}: it is asked, and not tried");
        world.forge.assert_as_described();
    }
}
